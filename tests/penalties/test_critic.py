"""The rule of a game: who learns at which step, and from what."""

import pytest
import torch
import torch.nn.functional as F

from isthmus import AutoEncoder
from isthmus.layers import reverse_gradient
from isthmus.penalties import AdversarialPrior
from isthmus.penalties.critic import DenseCritic, Game


def costs(judge, values):
    return F.softplus(judge(values)).squeeze(-1)


def opposite(judge, values):
    return F.softplus(-judge(values)).squeeze(-1)


def game(updates):
    torch.manual_seed(0)
    return Game(DenseCritic(3, (4,)), updates).double(), torch.randn(5, 3).double().requires_grad_()


def gradients(nats, players, values):
    return torch.autograd.grad(nats.sum(), [values, *players.critic.parameters()], allow_unused=True)


def test_reversed_gradients_leave_the_value_and_turn_the_gradient():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 3.0)
    assert torch.equal(y, x)
    (y * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [-3.0, -30.0]


def test_reversal_gives_the_critic_its_own_gradient_and_the_model_minus_weight_times_it():
    players, values = game("reversal")
    mine, *theirs = gradients(players(values, 2.5, costs, opposite), players, values)
    plain, *critic = gradients(costs(players.critic, values), players, values)
    torch.testing.assert_close(mine, -2.5 * plain)
    torch.testing.assert_close(theirs, critic)


def test_alternating_begins_with_the_critic_and_changes_after_each_step():
    players, values = game("alternating")
    plain, *critic = gradients(costs(players.critic, values), players, values)
    model, *_ = gradients(opposite(players.critic, values), players, values)
    for turn in range(4):
        mine, *theirs = gradients(players(values, 2.5, costs, opposite), players, values)
        if turn % 2 == 0:
            assert mine is None
            torch.testing.assert_close(theirs, critic)
        else:
            torch.testing.assert_close(mine, 2.5 * model)
            assert theirs == [None] * len(critic)
        players.after_step(0.0)


def test_simultaneous_updates_are_both_turns_at_once():
    players, values = game("simultaneous")
    mine, *theirs = gradients(players(values, 2.5, costs, opposite), players, values)
    torch.testing.assert_close(mine, 2.5 * gradients(opposite(players.critic, values), players, values)[0])
    torch.testing.assert_close(theirs, list(gradients(costs(players.critic, values), players, values)[1:]))


def test_the_turn_is_a_buffer_that_a_checkpoint_holds_and_a_model_file_does_not():
    players, _ = game("alternating")
    assert "turn" in dict(players.named_buffers())
    assert "turn" not in players.state_dict()


def test_a_fit_with_an_adversary_counts_its_steps_and_keeps_its_last_weights():
    X = torch.randn(64, 4).numpy()
    model = AutoEncoder(penalties=[AdversarialPrior(updates="alternating")], max_epochs=3, batch_size=16, threads=1)
    model.fit(X)
    assert model.module_.is_game
    assert int(model.module_.penalties[0].game.turn) == model.history_[-1]["step"]


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (AdversarialPrior(updates="sometimes"), "updates must be one of 'reversal', 'alternating', 'simultaneous'"),
        (AdversarialPrior(learning_rate_scale=0.0), "learning_rate_scale must be above 0, got 0.0"),
        (AdversarialPrior(weight=-1.0), "weight must be at least 0"),
        (AdversarialPrior(hidden=(0,)), "hidden must be"),
    ],
)
def test_values_out_of_range_are_refused(penalty, message):
    with pytest.raises(ValueError, match=message):
        penalty.build(code=[2])
