"""Who may do what: one table for every route, method and socket action; what is not in it is denied.

llmstudio/gate.py applies it to requests, workspace/consumers.py to what a socket says.
tests/security walks the URL resolver and the socket's actions and fails on any door without a row here.
"""

from __future__ import annotations

from workspace.models import Role

ANYONE = 0
SIGNED_IN = 1
VIEWER, ANNOTATOR, EDITOR, ADMIN, OWNER = (int(role) for role in Role)

# view name -> method -> least role. HEAD follows GET. An empty row is a door that is there and stays shut.
ROUTES: dict[str, dict[str, int]] = {
    # the way in
    "home": {"GET": SIGNED_IN},
    "healthz": {"GET": ANYONE},
    "readyz": {"GET": ANYONE},
    "metrics": {"GET": ANYONE},  # refuses by itself what does not come from this machine or carry the metrics token
    "invitation": {"GET": ANYONE, "POST": ANYONE},
    "profile": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "team_new": {"POST": SIGNED_IN},
    # accounts (django-allauth); each of these asks for a session itself where one is needed
    "account_login": {"GET": ANYONE, "POST": ANYONE},
    "account_logout": {"GET": ANYONE, "POST": ANYONE},
    "account_inactive": {"GET": ANYONE},
    "account_signup": {},  # people come by an invitation
    "account_email": {},
    "account_email_verification_sent": {},
    "account_confirm_email": {},
    "account_confirm_login_code": {},
    "account_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_change_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_set_password": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "account_reset_password": {"GET": ANYONE, "POST": ANYONE},
    "account_reset_password_done": {"GET": ANYONE},
    "account_reset_password_from_key": {"GET": ANYONE, "POST": ANYONE},
    "account_reset_password_from_key_done": {"GET": ANYONE},
    "mfa_index": {"GET": SIGNED_IN},
    "mfa_authenticate": {"GET": ANYONE, "POST": ANYONE},
    "mfa_reauthenticate": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_activate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_deactivate_totp": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_view_recovery_codes": {"GET": SIGNED_IN},
    "mfa_generate_recovery_codes": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    "mfa_download_recovery_codes": {"GET": SIGNED_IN},
    "usersessions_list": {"GET": SIGNED_IN, "POST": SIGNED_IN},
    # team
    "team_home": {"GET": VIEWER},
    "team_settings": {"GET": VIEWER, "POST": ADMIN},
    "invitation_new": {"POST": ADMIN},
    "invitation_revoke": {"POST": ADMIN},
    "member": {"POST": ADMIN},
    "team_leave": {"POST": VIEWER},
    "key_new": {"POST": EDITOR},
    "key_revoke": {"POST": VIEWER},  # one's own; an admin everyone's
    # chat
    "chats": {"GET": VIEWER},
    "chat_new": {"POST": EDITOR},
    "chat_with_adapter": {"POST": EDITOR},
    "chat": {"GET": VIEWER},
    "chat_thread": {"GET": VIEWER},
    "chat_settings": {"GET": VIEWER, "POST": EDITOR},
    "chat_archive": {"POST": EDITOR},
    "chat_export": {"GET": VIEWER},
    "chat_prompts": {"GET": EDITOR},
    "chat_insert": {"POST": EDITOR},
    "chat_files": {"GET": EDITOR, "POST": EDITOR},
    "chat_from_prompt": {"POST": EDITOR},
    "chat_from_examples": {"POST": EDITOR},
    "chat_to_prompt": {"GET": EDITOR, "POST": EDITOR},
    "chat_to_examples": {"GET": EDITOR, "POST": EDITOR},
    "attachment": {"GET": VIEWER, "POST": EDITOR},
    # what people think of an answer, wherever it is shown
    "feedback": {"GET": VIEWER, "POST": ANNOTATOR},
    "feedback_use": {"POST": EDITOR},
    # prompts
    "prompts": {"GET": VIEWER},
    "prompt_new": {"GET": EDITOR, "POST": EDITOR},
    "prompt_preview": {"POST": VIEWER},
    "prompt_settings": {"GET": VIEWER, "POST": ADMIN},
    "prompt_protect": {"POST": ADMIN},
    "prompt": {"GET": VIEWER, "POST": EDITOR},
    "prompt_news": {"GET": VIEWER},
    "prompt_versions": {"GET": VIEWER},
    "prompt_diff": {"GET": VIEWER},
    "prompt_restore": {"POST": EDITOR},
    "prompt_fork": {"GET": EDITOR, "POST": EDITOR},
    "prompt_review": {"POST": EDITOR},
    "prompt_verdict": {"POST": EDITOR},
    "prompt_labels": {"GET": VIEWER, "POST": EDITOR},
    "prompt_details": {"GET": EDITOR, "POST": EDITOR},
    "prompt_archive": {"POST": EDITOR},
    "prompt_version": {"GET": VIEWER},
    # few-shot examples
    "example_sets": {"GET": VIEWER},
    "example_set": {"GET": VIEWER},
    "example_set_new": {"POST": EDITOR},
    "example_set_save": {"POST": EDITOR},
    "example_set_change": {"POST": EDITOR},
    "example_set_archive": {"POST": EDITOR},
    "example_set_history": {"GET": VIEWER},
    "example_set_restore": {"POST": EDITOR},
    "example_fields": {"GET": EDITOR},
    "example_paste": {"POST": EDITOR},
    "example_preview": {"GET": VIEWER},
    "example_use": {"POST": EDITOR},
    "example_rate": {"POST": ANNOTATOR},
    "example_source": {"GET": VIEWER},
    "example_keep": {"GET": EDITOR, "POST": EDITOR},
    "leave_one_out_new": {"GET": EDITOR, "POST": EDITOR},
    "leave_one_out": {"GET": VIEWER},
    # playground
    "grids": {"GET": VIEWER},
    "grid": {"GET": VIEWER},
    "grid_new": {"POST": EDITOR},
    "grid_prompts": {"GET": VIEWER},
    "cell": {"GET": VIEWER},
    "grid_progress": {"GET": VIEWER},
    "grid_change": {"POST": EDITOR},
    "grid_archive": {"POST": EDITOR},
    "grid_copy": {"POST": EDITOR},
    "grid_run": {"POST": EDITOR},
    "grid_stop": {"POST": EDITOR},
    "grid_column_new": {"GET": EDITOR, "POST": EDITOR},
    "grid_column": {"GET": EDITOR, "POST": EDITOR},
    "grid_inputs": {"GET": EDITOR, "POST": EDITOR},
    "grid_table": {"POST": EDITOR},
    "grid_rows_of_dataset": {"POST": EDITOR},
    "grid_input": {"GET": EDITOR, "POST": EDITOR},
    "grid_rows": {"GET": VIEWER},
    "grid_vote": {"POST": ANNOTATOR},
    "grid_collect": {"GET": EDITOR, "POST": EDITOR},
    "grid_cell": {"GET": VIEWER},
    # together: comments, notifications, activity
    "people": {"GET": VIEWER},
    "comments": {"GET": VIEWER, "POST": ANNOTATOR},
    "comment_counts": {"GET": VIEWER},
    "comment": {"GET": VIEWER},
    "comment_edit": {"POST": ANNOTATOR},  # one's own
    "comment_delete": {"POST": ANNOTATOR},  # one's own; an admin everyone's
    "comment_resolve": {"POST": ANNOTATOR},
    "notices": {"GET": VIEWER},
    "notices_count": {"GET": VIEWER},
    "notices_read": {"POST": VIEWER},
    "notice": {"GET": VIEWER},
    "activity": {"GET": VIEWER},
    # in and out: the library's acts, import and export of prompts
    "prompt_import": {"GET": EDITOR, "POST": EDITOR},
    "prompt_export": {"GET": VIEWER, "POST": VIEWER},
    "prompts_act": {"POST": EDITOR},
    "prompt_starters": {"POST": EDITOR},
    "prompt_favourite": {"POST": VIEWER},  # one's own star
    # data
    "datasets": {"GET": VIEWER},
    "upload": {"POST": EDITOR},
    "import_new": {"GET": EDITOR},
    "import_start": {"POST": EDITOR},
    "import": {"GET": VIEWER},
    "import_cancel": {"POST": EDITOR},
    "import_again": {"POST": EDITOR},
    "dataset": {"GET": VIEWER},
    "dataset_rows": {"GET": VIEWER},
    "dataset_row": {"GET": VIEWER},
    "dataset_quality": {"GET": VIEWER},
    "dataset_archive": {"POST": EDITOR},
    "dataset_download": {"GET": VIEWER},
    # fine-tunes and models
    "finetunes": {"GET": VIEWER},
    "finetune_new": {"GET": EDITOR, "POST": EDITOR},
    "finetune_check": {"POST": EDITOR},
    "finetune_tokens": {"POST": EDITOR},
    "finetune": {"GET": VIEWER},
    "finetune_progress": {"GET": VIEWER},
    "finetune_points": {"GET": VIEWER},
    "finetune_samples": {"GET": VIEWER},
    "finetune_log": {"GET": VIEWER},
    "finetune_cancel": {"POST": EDITOR},
    "finetune_stop": {"POST": EDITOR},
    "models": {"GET": VIEWER},
    "model_new": {"POST": ADMIN},
    "model_change": {"POST": ADMIN},
    "model_remove": {"POST": ADMIN},
    "adapter_archive": {"POST": EDITOR},
    "adapter_download": {"GET": VIEWER},
    # /api, by API key: prompts in our words
    "openapi": {"GET": ANYONE},
    "api:api-root": {"GET": VIEWER},  # ninja's own; answers 404
    "api:prompts": {"GET": VIEWER, "POST": EDITOR},
    "api:prompt": {"GET": VIEWER},
    "api:versions": {"GET": VIEWER, "POST": EDITOR},
    "api:label": {"GET": VIEWER, "PUT": EDITOR, "DELETE": EDITOR},
    "api:run": {"GET": VIEWER, "POST": EDITOR},
    "api:example_sets": {"GET": VIEWER},
    "api:example_set": {"GET": VIEWER},
    # /api/public, by API key: prompts in Langfuse's words
    "langfuse:api-root": {"GET": VIEWER},
    "langfuse:prompts": {"GET": VIEWER, "POST": EDITOR},
    "langfuse:prompt": {"GET": VIEWER, "DELETE": EDITOR},
    "langfuse:version": {"GET": VIEWER, "PATCH": EDITOR},
    "langfuse:projects": {"GET": VIEWER},
    # /v1, by API key
    "v1:api-root": {"GET": VIEWER},  # ninja's own; answers 404
    "v1:models": {"GET": VIEWER},
    "v1:model": {"GET": VIEWER, "DELETE": EDITOR},
    "v1:chat_completions": {"POST": EDITOR},
    "v1:responses": {"POST": EDITOR},
    "v1:files": {"GET": VIEWER, "POST": EDITOR},
    "v1:file": {"GET": VIEWER, "DELETE": EDITOR},
    "v1:file_content": {"GET": VIEWER},
    "v1:finetuning_jobs": {"GET": VIEWER, "POST": EDITOR},
    "v1:finetuning_job": {"GET": VIEWER},
    "v1:finetuning_cancel": {"POST": EDITOR},
    "v1:finetuning_pause": {"POST": EDITOR},
    "v1:finetuning_resume": {"POST": EDITOR},
    "v1:finetuning_events": {"GET": VIEWER},
    "v1:finetuning_checkpoints": {"GET": VIEWER},
}

SOCKET: dict[str, int] = {
    "subscribe": VIEWER,
    "unsubscribe": VIEWER,
    "send": EDITOR,
    "stop": EDITOR,
    "typing": EDITOR,
}

KEY_NAMESPACES = {"v1", "api", "langfuse"}

# What programs do before each of their own requests: it has a number of its own, so that it takes nothing from the rest.
FETCHES = {"langfuse:prompt", "api:prompt"}
