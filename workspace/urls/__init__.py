"""Doors of the workspace: people and teams, then chat; the prompt workspace has a module for each of its rooms."""

from django.urls import path

from workspace.urls import examples, interchange, playground, prompts, together
from workspace.views import chat_extracts, chat_files, chat_prompts, chats, feedback, people, teams

the_people = [
    path("", people.home, name="home"),
    path("invite/<str:token>/", people.invitation, name="invitation"),
    path("profile/", people.profile, name="profile"),
    path("teams/new/", people.team_new, name="team_new"),
    path("t/<slug:team>/", teams.team_home, name="team_home"),
    path("t/<slug:team>/settings/", teams.team_settings, name="team_settings"),
    path("t/<slug:team>/settings/leave/", teams.team_leave, name="team_leave"),
    path("t/<slug:team>/settings/members/<int:member_id>/", teams.member, name="member"),
    path("t/<slug:team>/settings/invitations/", teams.invitation_new, name="invitation_new"),
    path("t/<slug:team>/settings/invitations/<uuid:invitation_id>/", teams.invitation_revoke, name="invitation_revoke"),
    path("t/<slug:team>/settings/keys/", teams.key_new, name="key_new"),
    path("t/<slug:team>/settings/keys/<uuid:key_id>/", teams.key_revoke, name="key_revoke"),
]

chat = [
    path("t/<slug:team>/chat/", chats.chats, name="chats"),
    path("t/<slug:team>/chat/new/", chats.chat_new, name="chat_new"),
    path("t/<slug:team>/chat/with-adapter/", chats.chat_with_adapter, name="chat_with_adapter"),
    path("t/<slug:team>/chat/<uuid:chat_id>/", chats.chat, name="chat"),
    path("t/<slug:team>/chat/<uuid:chat_id>/thread/", chats.chat_thread, name="chat_thread"),
    path("t/<slug:team>/chat/<uuid:chat_id>/settings/", chats.chat_settings, name="chat_settings"),
    path("t/<slug:team>/chat/<uuid:chat_id>/archive/", chats.chat_archive, name="chat_archive"),
    path("t/<slug:team>/chat/<uuid:chat_id>/export/", chats.chat_export, name="chat_export"),
    path("t/<slug:team>/chat/prompts/", chat_prompts.chat_prompts, name="chat_prompts"),
    path("t/<slug:team>/chat/from-prompt/", chat_prompts.chat_from_prompt, name="chat_from_prompt"),
    path("t/<slug:team>/chat/from-examples/", chat_prompts.chat_from_examples, name="chat_from_examples"),
    path("t/<slug:team>/chat/<uuid:chat_id>/insert/", chat_prompts.chat_insert, name="chat_insert"),
    path("t/<slug:team>/chat/<uuid:chat_id>/files/", chat_files.chat_files, name="chat_files"),
    path("t/<slug:team>/chat/<uuid:chat_id>/to-prompt/", chat_extracts.chat_to_prompt, name="chat_to_prompt"),
    path("t/<slug:team>/chat/<uuid:chat_id>/to-examples/", chat_extracts.chat_to_examples, name="chat_to_examples"),
    path("t/<slug:team>/attachments/<uuid:attachment_id>/", chat_files.attachment, name="attachment"),
    path("t/<slug:team>/feedback/<uuid:generation_id>/", feedback.feedback, name="feedback"),
    path("t/<slug:team>/feedback/<uuid:generation_id>/use/", feedback.feedback_use, name="feedback_use"),
]

urlpatterns = [
    *the_people,
    *chat,
    *prompts.urlpatterns,
    *examples.urlpatterns,
    *playground.urlpatterns,
    *together.urlpatterns,
    *interchange.urlpatterns,
]
