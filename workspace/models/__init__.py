"""What people are and what they write, one module per noun."""

from workspace.models.chats import Chat, Message
from workspace.models.keys import ApiKey
from workspace.models.people import Invitation, Membership, Role, Team, User

__all__ = ["ApiKey", "Chat", "Invitation", "Membership", "Message", "Role", "Team", "User"]
