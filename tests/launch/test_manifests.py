"""launch/kubernetes holds what a Kubernetes server would take, and asks it for what the main command needs."""

import functools
import gzip
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from configs import common
from tests.commands import is_taken_by_the_main_command
from tests.conftest import ROOT

FILES = sorted((ROOT / 'launch' / 'kubernetes').glob('*.yaml'))
DOCUMENTS = [document for path in FILES for document in yaml.safe_load_all(path.read_text())]
JOB_SETS = [document for document in DOCUMENTS if document['kind'] == 'JobSet']
PODS = [document['spec'] for document in DOCUMENTS if document['kind'] == 'Pod']
PODS += [job['template']['spec']['template']['spec'] for one in JOB_SETS for job in one['spec']['replicatedJobs']]
TPU, GPU = (
    next(one for one in JOB_SETS if chip in json.dumps(one)) for chip in ('"google.com/tpu"', '"nvidia.com/gpu"')
)


def core_kinds():
    """Every object of Kubernetes' own kinds, the jobs inside of a JobSet too."""
    things = [document for document in DOCUMENTS if document['kind'] != 'JobSet']
    for one in JOB_SETS:
        for job in one['spec']['replicatedJobs']:
            name = {'metadata': {'name': job['name']}}
            things.append({'apiVersion': 'batch/v1', 'kind': 'Job', **name, **job['template']})
    return things


@pytest.mark.parametrize('thing', core_kinds(), ids=lambda thing: f'{thing["kind"]}-{thing["metadata"]["name"]}')
def test_kubernetes_own_kinds_are_valid(thing):
    kubernetes_validate = pytest.importorskip('kubernetes_validate')
    kubernetes_validate.validate(thing, kubernetes_validate.latest_version(), strict=True)


def test_a_misspelt_field_of_a_pod_is_found():
    kubernetes_validate = pytest.importorskip('kubernetes_validate')
    job = json.loads(json.dumps(next(thing for thing in core_kinds() if thing['kind'] == 'Job')))
    container = job['spec']['template']['spec']['containers'][0]
    container['commnd'] = container.pop('command')
    with pytest.raises(kubernetes_validate.ValidationError, match='commnd'):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def strict(schema):
    """JSON Schema of a CustomResourceDefinition's schema, in which a field that it does not know is an error.

    What a server takes and JSON Schema has no word for is put in its words: a number or a string, and null.
    """
    if schema is True or schema is False:
        return schema
    made = {key: value for key, value in schema.items() if not key.startswith('x-') and key != 'nullable'}
    if 'properties' in made:
        made['properties'] = {name: strict(value) for name, value in made['properties'].items()}
        made.setdefault('additionalProperties', schema.get('x-kubernetes-preserve-unknown-fields', False))
    for key in ('items', 'additionalProperties', 'not'):
        if key in made:
            made[key] = strict(made[key])
    for key in ('allOf', 'anyOf', 'oneOf'):
        if key in made:
            made[key] = [strict(value) for value in made[key]]
    if schema.get('x-kubernetes-int-or-string'):
        made['type'] = ['integer', 'string']
    if schema.get('nullable'):
        made['type'] = [made['type'], 'null']
    return made


@functools.cache
def job_set_schema():
    """The validator of a JobSet, from the CustomResourceDefinition in the file that JOBSET_CRD names."""
    jsonschema = pytest.importorskip('jsonschema')
    path = os.environ.get('JOBSET_CRD')
    if not path:
        pytest.skip('JOBSET_CRD names no gzipped CustomResourceDefinition of JobSet')
    with gzip.open(path, 'rt', encoding='utf-8') as file:
        (version,) = yaml.load(file, yaml.CSafeLoader)['spec']['versions']
    assert version['name'] == 'v1alpha2'
    return jsonschema.Draft7Validator(strict(version['schema']['openAPIV3Schema']))


@pytest.mark.parametrize('one', JOB_SETS, ids=lambda one: one['metadata']['name'])
def test_job_sets_are_valid(one):
    assert [error.message for error in job_set_schema().iter_errors(one)] == []


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('maxRestarts: 3', 'maxRestart: 3', "'maxRestart' was unexpected"),
        ('replicas: 1', 'replicas: one', "'one' is not of type 'integer'"),
        ('restartStrategy: BlockingRecreate', 'restartStrategy: Blocking', "'Blocking' is not one of"),
        ('completions: 4', 'completion: 4', "'completion' was unexpected"),
        ('runAsUser: 1000', 'runAsUser: root', "'root' is not of type 'integer'"),
    ],
)
def test_a_mistake_in_a_job_set_is_found(old, new, message):
    text = (ROOT / 'launch' / 'kubernetes' / 'tpu.yaml').read_text()
    assert text.count(old) == 1
    errors = [error.message for error in job_set_schema().iter_errors(yaml.safe_load(text.replace(old, new)))]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize('pod', PODS)
def test_nothing_runs_as_root(pod):
    assert pod['securityContext']['runAsNonRoot'] is True
    assert pod['securityContext']['runAsUser'] == image_user()
    for container in pod['containers']:
        assert container['securityContext'] == {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}}


def image_user():
    """The number of the user that the image runs as."""
    *_, user = re.findall(r'^USER (\d+):\d+$', (ROOT / 'launch' / 'Dockerfile').read_text(), re.MULTILINE)
    assert int(user) > 0
    return int(user)


def test_there_is_no_secret():
    assert not any('secret' in json.dumps(document).lower() for document in DOCUMENTS)
    values = {
        variable['name'] for pod in PODS for container in pod['containers'] for variable in container.get('env', [])
        if 'value' in variable
    }  # fmt: skip
    assert values == {'TFDS_DATA_DIR', 'XDG_CACHE_HOME'}


def test_the_image_is_the_one_that_the_dockerfile_names():
    (name,) = re.findall(r'-t REGISTRY/(\w+):TAG', (ROOT / 'launch' / 'Dockerfile').read_text())
    assert {container['image'] for pod in PODS for container in pod['containers']} == {name}


def test_every_claim_is_made_by_the_storage_file():
    made = {document['metadata']['name'] for document in DOCUMENTS if document['kind'] == 'PersistentVolumeClaim'}
    claims = [volume['persistentVolumeClaim'] for pod in PODS for volume in pod['volumes'] if 'emptyDir' not in volume]
    assert {claim['claimName'] for claim in claims} == made


@pytest.mark.parametrize('one', [TPU, GPU], ids=['tpu', 'gpu'])
def test_the_command_is_the_main_command(one):
    for job in one['spec']['replicatedJobs']:
        (container,) = job['template']['spec']['template']['spec']['containers']
        assert container['command'][:3] == ['python', '-m', 'efficiency.main']
        # What the cluster would put in place of the variables, each of which the container has.
        there = {variable['name'] for variable in container['env']}
        flags = ' '.join(container['command'][3:])
        assert set(re.findall(r'\$\((\w+)\)', flags)) <= there
        is_taken_by_the_main_command(re.sub(r'\$\(\w+\)', '1', flags).split())


PAGES = {path.parent.name: path.read_text() for path in (ROOT / 'launch').glob('*/README.md')}


@pytest.mark.parametrize('page', ['kubernetes', 'slurm', 'tpu_vm'])
def test_the_pages_give_the_main_command_its_own_flags(page):
    flags = re.findall(r'(?:efficiency\.main|train\.sh|tpu\.sh start)((?: --[\w.]+=[^\s\'"\\]+)+)', PAGES[page])
    assert flags
    for each in flags:
        is_taken_by_the_main_command(re.sub(r'\$\w+', '1', each).split())


@pytest.mark.parametrize('page', ['ray', 'slurm'])
def test_the_pages_give_the_study_command_its_own_flags(page):
    shown = subprocess.run(
        [sys.executable, '-m', 'efficiency.study', '--help'],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    commands = re.findall(r"efficiency\.study((?:[ \\\n]+--\w+(?:=(?:'[^']*'|\S+))?)+)", PAGES[page])
    assert commands
    for command in commands:
        ours = set(re.findall(r'--\w+', re.sub(r"'[^']*'", '', command)))
        assert ours <= set(re.findall(r'--\w+', shown.stdout)), command
        assert (ROOT / re.search(r'--study=(\S+)', command)[1]).is_file()


def test_a_tpu_slice_has_the_hosts_that_its_topology_makes():
    (job,) = TPU['spec']['replicatedJobs']
    pod = job['template']['spec']['template']['spec']
    x, y = map(int, pod['nodeSelector']['cloud.google.com/gke-tpu-topology'].split('x'))
    chips = pod['containers'][0]['resources']['limits']['google.com/tpu']
    assert job['template']['spec']['parallelism'] == job['template']['spec']['completions'] == x * y / chips
    assert common.imagenet2012().batch_size % (x * y) == 0


def test_gpu_hosts_differ_in_the_disk_alone():
    leader, worker = GPU['spec']['replicatedJobs']
    assert GPU['spec']['coordinator'] == {'replicatedJob': leader['name']}
    assert leader['replicas'] == 1
    ours, theirs = (json.loads(json.dumps(job['template']['spec'])) for job in (leader, worker))
    disks = [job['template']['spec']['volumes'].pop(0) for job in (ours, theirs)]
    assert ours == theirs
    assert disks[0] == {'name': 'runs', 'persistentVolumeClaim': {'claimName': 'efficiency-runs'}}
    assert list(disks[1]) == ['name', 'emptyDir']
    gpus = ours['template']['spec']['containers'][0]['resources']['limits']['nvidia.com/gpu']
    assert common.imagenet2012().batch_size % (gpus * (1 + worker['replicas'])) == 0


@pytest.mark.parametrize('one', [TPU, GPU], ids=['tpu', 'gpu'])
def test_what_an_exit_code_leads_to(one):
    """A mistake ends the set, a SIGTERM restarts it without being counted, anything else restarts it a few times."""
    rules = one['spec']['failurePolicy']['rules']
    for job in one['spec']['replicatedJobs']:
        spec = job['template']['spec']
        assert spec['backoffLimit'] == 0
        assert spec['template']['spec']['restartPolicy'] == 'Never'
        codes = [rule['onExitCodes']['values'] for rule in spec['podFailurePolicy']['rules'] if 'onExitCodes' in rule]
        assert codes == [[2], [143]]
        (container,) = spec['template']['spec']['containers']
        # Kubernetes' words for a job that failed by a rule of its pods'.
        for code, action in ((2, 'FailJobSet'), (143, 'RestartJobSetAndIgnoreMaxRestarts')):
            message = (
                f'Container {container["name"]} for pod default/x failed with exit code {code} matching FailJob rule'
            )
            matching = [
                rule for rule in rules
                if any(re.search(pattern, message) for pattern in rule.get('onJobFailureMessagePatterns', ['']))
            ]  # fmt: skip
            assert matching[0]['action'] == action
    assert all(rule['onJobFailureReasons'] == ['PodFailurePolicy'] for rule in rules)
    assert one['spec']['failurePolicy']['maxRestarts'] == 3


def test_a_ray_cluster_file_is_what_ray_takes():
    ray = pytest.importorskip('ray')
    jsonschema = pytest.importorskip('jsonschema')
    path = os.path.join(os.path.dirname(ray.__file__), 'autoscaler', 'ray-schema.json')
    with open(path, encoding='utf-8') as file:
        schema = json.load(file)
    cluster = yaml.safe_load((ROOT / 'launch' / 'ray' / 'cluster.yaml').read_text())
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError, match='head_setup_command'):
        jsonschema.validate(cluster | {'head_setup_command': []}, schema)
