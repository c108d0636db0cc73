#!/bin/bash
# One run over several nodes: sbatch [its options] launch/slurm/train.sh FLAGS, the flags of python -m efficiency.main.
# Options given to sbatch come before those here; README.md beside this goes through a run.
#SBATCH --job-name=efficiency
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
#SBATCH --signal=TERM@120
# The last one: two minutes or more before the time limit every process is told to save and to end.

# Processes end one another when one fails, and all say why. If srun ended them (--kill-on-bad-exit) its exit code, the
# highest of theirs, would be that of its own SIGTERM.
srun --kill-on-bad-exit=0 --wait=120 python -m efficiency.main "$@"
code=$?

# SLURM itself requeues after preemption and when a node fails. Here: after a SIGTERM for the time limit (143) always, as
# the run has come further; after anything else but an end (0) or a mistake in the command (2) three times at the most.
case $code in
  0 | 2) exit $code ;;
  143) ;;
  *)
    if [ "${SLURM_RESTART_COUNT:-0}" -ge 3 ]; then
      echo "train.sh: exit code $code after $SLURM_RESTART_COUNT restarts; not again" >&2
      exit $code
    fi
    ;;
esac
echo "train.sh: exit code $code; requeued" >&2
scontrol requeue "$SLURM_JOB_ID" || exit $code
sleep 60 # requeueing ends this script
exit $code
