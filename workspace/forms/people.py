"""What people type about themselves, their teams and their keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account.forms import LoginForm
from django import forms
from django.contrib.auth.password_validation import validate_password

from workspace.models import Invitation, Membership, Role, Team, User


class SignInForm(LoginForm):  # type: ignore[misc]
    """allauth's, with our words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "E-mail"
        self.fields["password"].help_text = ""  # the page has its own link to the reset


class SignUpForm(forms.ModelForm):  # type: ignore[type-arg]
    """A newcomer with an invitation. The address is the invitation's; whoever founds the first team gives both."""

    team = forms.CharField(max_length=80, label="Team", help_text="The people you work with. You can rename it later.")
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 10 characters, nothing like your name or address, and not a password that everybody uses.",
    )
    field_order = ["team", "name", "email", "password"]

    class Meta:
        model = User
        fields = ["name", "email"]
        labels = {"name": "Your name", "email": "E-mail"}
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
            "email": forms.EmailInput(attrs={"autocomplete": "email"}),
        }

    def __init__(self, *args: Any, invitation: Invitation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].required = True
        if invitation.email:
            self.instance.email = invitation.email
            del self.fields["email"]
        if invitation.team:
            del self.fields["team"]

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        newcomer = User(email=cleaned.get("email", self.instance.email), name=cleaned.get("name", ""))
        if User.objects.filter(email__iexact=newcomer.email).exists():
            raise forms.ValidationError(
                "There is an account with this address already. Sign in with it, then open this link again."
            )
        try:
            validate_password(cleaned.get("password", ""), newcomer)
        except forms.ValidationError as error:
            self.add_error("password", error)
        return cleaned

    def save(self, commit: bool = True) -> User:
        self.instance.set_password(self.cleaned_data["password"])
        user: User = super().save(commit)
        return user


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ["name", "mail_me"]
        labels = {"name": "Your name", "mail_me": "Mail me about mentions, answers and reviews"}
        help_texts = {"mail_me": "The bell tells you in any case."}
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "name"})}


class TeamForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Team
        fields = ["name"]


class RoleField(forms.TypedChoiceField):
    """One of the roles that `by` may give."""

    def __init__(self, by: Membership, **options: Any) -> None:
        choices = [(role.value, role.label) for role in by.grants]
        super().__init__(choices=choices, coerce=lambda value: Role(int(value)), **options)


class RoleForm(forms.Form):
    def __init__(self, *args: Any, by: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(by)


class InviteForm(forms.Form):
    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, by: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = by.team
        self.fields["role"] = RoleField(by, initial=Role.EDITOR)

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if self.team.members.filter(email__iexact=email).exists():
            raise forms.ValidationError("This person is in the team already.")
        return email


class KeyForm(forms.Form):
    LIFETIMES = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")]

    name = forms.CharField(max_length=80, help_text="What will use it, such as: nightly script.")
    days = forms.ChoiceField(label="Works for", choices=LIFETIMES, required=False, initial="90")

    @property
    def lifetime(self) -> timedelta | None:
        days = self.cleaned_data["days"]
        return timedelta(days=int(days)) if days else None
