"""Contenders x instances x seeds, each run once, at equal budgets, and measured by the harness alone.

=========== ==============================================================================================
suites      frozen lists of instances: what is played, for how long, on which worlds
contenders  who plays: learners of the registry, heuristics, planners, and what each of them may know
plan        one comparison: suite, contenders, seeds, and the jobs that follow; its folder
jobs        one job: train or make a policy, choose an iterate, replay it on the test worlds
runner      every job to its end: its clock, its second chance; what is killed is taken up again
workers     who runs jobs, and how one is run; ``processes`` of this machine, or Ray's by an adapter
statistics  interquartile mean, optimality gap, probability of improvement, profiles, their intervals
standings   the finished jobs as scores: normalised, per information class
exports     tidy tables, marl-eval JSON, Markdown, CSV and LaTeX
trackers    the runs for TensorBoard, Weights & Biases and MLflow
=========== ==============================================================================================
"""
