"""What people are and what they write, one module per noun."""

from workspace.models.chats import Chat
from workspace.models.invitations import Invitation
from workspace.models.keys import ApiKey
from workspace.models.messages import Message, Turn
from workspace.models.people import Membership, NotPossible, Role, Team, User

__all__ = ["ApiKey", "Chat", "Invitation", "Membership", "Message", "NotPossible", "Role", "Team", "Turn", "User"]
