"""What each part of the speed-run on mnist5k is worth: put in alone, and left out of the whole.

The parts are those of configs/speedrun/mnist5k_parts.py; `plain` has none of them. A report's section of gains reads
the names.

    python -m efficiency.study --study=studies/speedrun_mnist5k_ablations.py --changed_code
    python -m efficiency.report --runs=results/speedrun_mnist5k_ablations --out=report

(--changed_code, as the records that are kept are of an earlier version of this package, docs/records.md.)
"""

from configs.speedrun.mnist5k_parts import PARTS


def get_study():
    alone = [(part,) for part in PARTS]
    but_one = [tuple(other for other in PARTS if other != part) for part in PARTS]
    systems = {
        '+'.join(('plain', *parts)): {'config': f'configs/speedrun/mnist5k_parts.py:{"+".join(parts)}'.rstrip(':')}
        for parts in ((), *alone, *but_one, PARTS)
    }
    return {'baseline': 'plain', 'seeds': range(3), 'systems': systems}
