"""What people are and what they write, one module per noun."""

from workspace.models.activity import Activity
from workspace.models.attachments import Attachment
from workspace.models.chats import Chat
from workspace.models.comments import Comment, Notification
from workspace.models.examples import Example, ExampleRating, ExampleSet, ExampleSetVersion
from workspace.models.feedback import Feedback
from workspace.models.grid_cells import GridCell, GridColumn, GridInput, GridVote
from workspace.models.grids import Grid, GridRefused
from workspace.models.invitations import Invitation
from workspace.models.keys import ApiKey
from workspace.models.labels import LabelMove, LabelRefused, PromptLabel, PromptReview, ProtectedLabel
from workspace.models.messages import Message, Turn
from workspace.models.people import Membership, NotPossible, Role, Team, User
from workspace.models.prompts import Prompt, PromptAlias, PromptVersion, Rendered, Stale

__all__ = [
    "Activity",
    "ApiKey",
    "Attachment",
    "Chat",
    "Comment",
    "Example",
    "ExampleRating",
    "ExampleSet",
    "ExampleSetVersion",
    "Feedback",
    "Grid",
    "GridCell",
    "GridColumn",
    "GridInput",
    "GridRefused",
    "GridVote",
    "Invitation",
    "LabelMove",
    "LabelRefused",
    "Membership",
    "Message",
    "NotPossible",
    "Notification",
    "Prompt",
    "PromptAlias",
    "PromptLabel",
    "PromptReview",
    "PromptVersion",
    "ProtectedLabel",
    "Rendered",
    "Role",
    "Stale",
    "Team",
    "Turn",
    "User",
]
