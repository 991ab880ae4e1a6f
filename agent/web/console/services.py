"""What pages stand on: the stores, and the same admins that the command line uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from agent.core.limits import Limited, Rule
from agent.ports import LanguageModels
from agent.settings import Settings
from agent.web.state import InstanceState
from storage.control.credentials import Secrets
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.control.operators.invitations import Invitations
from storage.control.operators.sessions import Sessions
from storage.control.operators.sign_in import SignIn
from storage.migrate.stores import OpenStores

Judge = Callable[[Sequence[Rule]], Awaitable[Limited | None]]
"""`judge_rules` of a limiter."""


class Services(Struct, frozen=True):
    """Made for each request; all of it is open already."""

    settings: Settings
    stores: OpenStores
    models: LanguageModels
    judge: Judge
    state: InstanceState
    """The instance that answers, with the channels that it runs."""

    @property
    def secrets(self) -> Secrets:
        keys = self.settings.encryption_keys

        return Secrets([key.get_secret_value() for key in keys])

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.stores.database)

    @property
    def sign_in(self) -> SignIn:
        return SignIn(self.stores.database, self.secrets)

    @property
    def invitations(self) -> Invitations:
        return Invitations(self.stores.database)

    @property
    def flags(self) -> FlagAdmin:
        check = ValueCheck(self.models, self.settings.window_messages)

        return FlagAdmin(self.stores.database, self.stores.pipe, check)


Find = Callable[[], Services | None]
"""The services; None: the stores are not open yet, or no longer."""


def services_of(state: InstanceState) -> Services | None:
    """Those of an instance of `agent serve`."""
    app = state.app
    if app is None or state.phase != "running":
        return None

    judge = app.ports.limiter.judge_rules

    return Services(app.settings, app.stores, app.ports.models, judge, state)
