"""What runs the runs of a study: this machine (`local`), SLURM (`slurm`) or a Ray cluster (`ray`).

Each is a module with the same four names: `check(options)` raises a UserError where the engine is not installed or
does not know an option; `under_way(folder)` is what an earlier command of the study with its runs in that folder has
left with the engine: 'queued' or 'running' by the run's name; `run(tasks, jobs, options, folder)` runs tasks, `jobs` at
once, goes on with those under way, and yields an `Event` as each begins and ends, or None while nothing does;
`WHEN_STOPPED` says what becomes of the runs when the command is stopped.
"""

ENGINES = ('local', 'slurm', 'ray')
