"""What people are and what they write, one module per noun."""

from workspace.models.activity import Activity
from workspace.models.attachments import Attachment
from workspace.models.chats import Chat
from workspace.models.comments import Comment, CommentRefused
from workspace.models.example import Example, ExampleRating
from workspace.models.examples import ExampleSet, ExampleSetVersion, TooMany
from workspace.models.feedback import Feedback, NotKept, Opinions
from workspace.models.grid_cells import GridCell, GridColumn, GridInput, GridVote
from workspace.models.grids import Grid, GridRefused
from workspace.models.invitations import Invitation
from workspace.models.keys import ApiKey
from workspace.models.labels import LabelMove, LabelRefused, PromptLabel, ProtectedLabel
from workspace.models.messages import Message, Turn
from workspace.models.notifications import Notification
from workspace.models.people import Membership, NotPossible, Role, Team, User
from workspace.models.prompt_versions import PromptVersion, Rendered
from workspace.models.prompts import Prompt, PromptAlias
from workspace.models.reviews import PromptReview, ReviewRefused
from workspace.models.shared import Archived, Stale

__all__ = [
    "Activity",
    "ApiKey",
    "Archived",
    "Attachment",
    "Chat",
    "Comment",
    "CommentRefused",
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
    "NotKept",
    "NotPossible",
    "Notification",
    "Opinions",
    "Prompt",
    "PromptAlias",
    "PromptLabel",
    "PromptReview",
    "PromptVersion",
    "ProtectedLabel",
    "Rendered",
    "ReviewRefused",
    "Role",
    "Stale",
    "Team",
    "TooMany",
    "Turn",
    "User",
]
