"""Queue of tasks: a frame is taken only where its estimated time fits."""

from waiting_tasks import waiting


def test_a_task_that_does_not_fit_is_held_back():
    tasks = waiting(10.0)
    assert tasks.take(4, 0, left=9.9) is None
    assert len(tasks.take(4, 0, left=10.1).tasks) == 1


def test_times_that_differ_make_the_estimate_longer():
    tasks = waiting(10.0)
    frame = tasks.take(4, 0)
    tasks.add_sample(frame.tasks[0], frame.group, 20.0)
    assert tasks.take(4, 0, left=19.0) is None  # 12 s on average, but 2 s apart
    assert tasks.take(4, 0, left=21.0) is not None


def test_a_time_limit_makes_frames_small_and_sends_nothing_ahead():
    assert len(waiting(0.001, tasks=9).take(1, 0).tasks) > 1
    assert len(waiting(0.1, tasks=9, limit=0.5).take(1, 0).tasks) == 1
    assert waiting(0.1, tasks=9, limit=0.5).take(1, in_flight=1) is None
