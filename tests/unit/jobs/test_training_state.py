"""The state of a training run: continued, averaged, and never saved with a loss that is not finite."""

import pytest
import torch

from pipeline.errors import InputError
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.training import Training

STEPS, ROW = 7, 3


class Killed(Exception):
    pass


class Due(Checkpoint):
    """Due after the given steps; the run is killed once it has saved."""

    def __init__(self, folder, *steps, start=None):
        super().__init__(folder, {}, None, [], minutes=1e9, start=start)
        self.steps, self.asked = steps, 0

    def due(self):
        self.asked += 1
        return self.asked in self.steps

    def save(self, state):
        super().save(state)
        raise Killed


class Net(torch.nn.Module):
    """A weight, a float buffer and a counter."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("running", torch.zeros(1))
        self.register_buffer("count", torch.tensor(0))


def trained(checkpoint, decay=None, spoilt=None):
    """Seven steps with a row each three; step n has the losses n and -n, or NaN in one of them at `spoilt`."""
    network = Net()
    optimizer = torch.optim.SGD(network.parameters(), 1.0, momentum=0.5)
    training = Training("toy", checkpoint, network, decay, network=network, optimizer=optimizer)
    seen = []
    for step in range(training.step, STEPS):
        network.weight.grad = torch.full((2,), -float(step + 1))
        optimizer.step()
        network.running += step + 1
        network.count += 1
        losses = torch.tensor([step + 1.0, -step - 1.0])
        if step + 1 == spoilt:
            losses[1] = float("nan")
        training.after_step(losses)
        seen.append(network.weight.detach().clone())
        if len(training.recent) == ROW or step + 1 == STEPS:
            training.history.append({"step": step + 1, "losses": training.take_losses().sum(0).tolist()})
        training.save_if_due()
    return training, network, seen


@pytest.mark.parametrize("after", range(1, STEPS + 1))
@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_run_that_was_killed_continues_as_if_it_had_not_been(after, decay, tmp_path, capsys):
    whole, _, _ = trained(Due(tmp_path / "whole"), decay)
    assert capsys.readouterr().out == ""
    with pytest.raises(Killed):
        trained(Due(tmp_path / "killed", after), decay)
    checkpoint = Due(tmp_path / "killed")
    continued, _, seen = trained(checkpoint, decay)
    assert capsys.readouterr().out == f"continuing at step {after} from {checkpoint.path}\n"
    assert len(seen) == STEPS - after
    assert continued.step == STEPS
    assert continued.history == whole.history == [
        {"step": 3, "losses": [6, -6]}, {"step": 6, "losses": [15, -15]}, {"step": 7, "losses": [7, -7]}
    ]  # fmt: skip
    for name, value in whole.averaged.state_dict().items():
        assert torch.equal(continued.averaged.state_dict()[name], value)


def test_a_run_that_continues_another_says_so_even_if_its_own_checkpoint_is_damaged(tmp_path, capsys):
    with pytest.raises(Killed):
        trained(Due(tmp_path / "before", 2))
    own = Due(tmp_path / "own", start=Due(tmp_path / "before").load)
    own.path.parent.mkdir(parents=True)
    own.path.write_bytes(b"no longer a state")
    whole, _, seen = trained(own)
    assert (whole.step, len(seen)) == (STEPS, STEPS - 2)
    damaged, continued = capsys.readouterr().out.splitlines()
    assert damaged.startswith(f"{own.path} is damaged") and damaged.endswith("; starting over")
    assert continued == "continuing at step 2 from the end of another run"


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_continued_run_saves_the_bytes_of_one_that_was_not_killed(decay, tmp_path):
    """Also equal words of its log: torch's files tell apart whether they are one object."""
    for name, stops in (("whole", [6]), ("killed", [4, 2])):  # the second run counts from where it goes on
        for stop in stops:
            with pytest.raises(Killed):
                trained(Due(tmp_path / name, stop), decay)
    whole, killed = (Due(tmp_path / name).path.read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_the_average_is_of_weights_and_buffers_and_begins_with_the_first_step(tmp_path):
    training, network, seen = trained(Due(tmp_path), decay=0.75)
    expected = seen[0]
    for weight in seen[1:]:
        expected = 0.75 * expected + 0.25 * weight
    torch.testing.assert_close(training.averaged.weight.detach(), expected)
    running = 1.0
    for end in range(2, STEPS + 1):
        running = 0.75 * running + 0.25 * sum(range(end + 1))
    assert training.averaged.running.item() == pytest.approx(running)
    assert not torch.equal(training.averaged.weight, network.weight)


def test_without_a_decay_the_network_itself_is_kept_and_nothing_more_saved(tmp_path):
    training, network, _ = trained(Due(tmp_path / "none"))
    assert training.averaged is network
    for decay, expected in ((None, set()), (0.5, {"average"})):
        with pytest.raises(Killed):
            trained(Due(tmp_path / f"{decay}", 2), decay)
        state = Due(tmp_path / f"{decay}").load()
        assert state.keys() == {"network", "optimizer", "step", "history", "recent"} | expected


@pytest.mark.parametrize("spoilt", [1, 2, 4])
def test_a_loss_that_is_not_finite_is_neither_saved_nor_logged(spoilt, tmp_path):
    """Found by the save after step 5, or by the row before it."""
    checkpoint = Due(tmp_path, 5)
    message = rf"the toy's loss is not a finite number at step {spoilt}; lower learning_rate .*: none was saved yet\)"
    with pytest.raises(InputError, match=message):
        trained(checkpoint, spoilt=spoilt)
    assert checkpoint.load() is None
    assert checkpoint.asked == (2 if spoilt < 3 else 5)


def test_the_error_names_the_last_good_checkpoint(tmp_path):
    with pytest.raises(Killed):
        trained(Due(tmp_path, 2))
    good = Due(tmp_path).path.read_bytes()
    checkpoint = Due(tmp_path, 2)
    with pytest.raises(InputError, match=r"not a finite number at step 4; .*last good checkpoint: .*last\.pt\)"):
        trained(checkpoint, spoilt=4)
    assert checkpoint.path.read_bytes() == good
