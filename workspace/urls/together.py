"""Doors of what people do together: comments, notifications, activity."""

from django.urls import path

from workspace.views import activity, comments, notices

urlpatterns = [
    path("t/<slug:team>/activity/", activity.activity, name="activity"),
    path("t/<slug:team>/people/", comments.people, name="people"),
    path("t/<slug:team>/comments/counts/", comments.comment_counts, name="comment_counts"),
    path("t/<slug:team>/comments/<uuid:comment_id>/", comments.comment, name="comment"),
    path("t/<slug:team>/comments/<uuid:comment_id>/edit/", comments.comment_edit, name="comment_edit"),
    path("t/<slug:team>/comments/<uuid:comment_id>/delete/", comments.comment_delete, name="comment_delete"),
    path("t/<slug:team>/comments/<uuid:comment_id>/resolve/", comments.comment_resolve, name="comment_resolve"),
    path("t/<slug:team>/comments/on/<str:kind>/<str:object_id>/", comments.comments, name="comments"),
    path("t/<slug:team>/notices/", notices.notices, name="notices"),
    path("t/<slug:team>/notices/count/", notices.notices_count, name="notices_count"),
    path("t/<slug:team>/notices/read/", notices.notices_read, name="notices_read"),
    path("t/<slug:team>/notices/<int:notice_id>/", notices.notice, name="notice"),
]
