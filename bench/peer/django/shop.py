"""The peer: a tap as a Django view takes it, in one file.

It does what the view of the system that wacta replaces did, with what a careful developer adds: the lead is locked,
all is one transaction, a second tap changes nothing, connections to the database are kept, rows of one kind go in by one
statement. The rows are those of wacta: a tap, the lead's status and consent, a note, the word of consent, a brochure in the
outbox and in its queue, a follow-up, three events, six counts.

    gunicorn --worker-class gthread shop:application
"""
import hashlib
import hmac
import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "peer", "USER": "postgres",
                           "HOST": os.environ["PEER_HOST"], "CONN_MAX_AGE": None}},
    ROOT_URLCONF="shop",
    SECRET_KEY="a secret of the benchmark",
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware",
                "django.middleware.clickjacking.XFrameOptionsMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [os.path.dirname(__file__)],
                "OPTIONS": {"loaders": [("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"])]}}],
    INSTALLED_APPS=[], USE_TZ=True, LOGGING_CONFIG=None,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.http import HttpResponseForbidden  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


class Lead(models.Model):
    name = models.TextField()
    phone = models.TextField()
    status = models.TextField()
    stage = models.TextField()
    consent = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "shop"
        db_table = "lead"


class OfLead(models.Model):
    lead = models.ForeignKey(Lead, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        app_label = "shop"


class Message(OfLead):
    purpose = models.TextField()
    status = models.TextField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "message"


class Click(OfLead):
    message = models.ForeignKey(Message, null=True, on_delete=models.CASCADE)
    action = models.TextField()
    agent = models.TextField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "click"


class Note(OfLead):
    note = models.TextField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "note"


class ConsentEvent(OfLead):
    event = models.TextField()
    evidence = models.JSONField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "consent_event"


class FollowUp(OfLead):
    due_at = models.DateTimeField()
    reason = models.TextField()
    closed_at = models.DateTimeField(null=True)

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "follow_up"


class Queue(OfLead):
    message = models.ForeignKey(Message, on_delete=models.CASCADE)
    due_at = models.DateTimeField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "queue"


class Event(OfLead):
    event = models.TextField()
    data = models.JSONField()

    class Meta(OfLead.Meta):
        abstract = False
        db_table = "event"


class Count(models.Model):
    day = models.DateField()
    scope = models.TextField()
    counted = models.TextField()
    number = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "count"


def token_is_good(lead_id, token):
    lead, issued, tag = (token.split(":") + ["", "", ""])[:3]
    wanted = hmac.new(settings.SECRET_KEY.encode(), f"{lead_id}:{issued}".encode(), hashlib.sha256).hexdigest()[:12]
    return lead == str(lead_id) and hmac.compare_digest(tag, wanted)


def tell(lead, message_id, day):
    Event.objects.bulk_create([Event(lead=lead, event="interested", data={"message_id": message_id}),
                               Event(lead=lead, event="lead_changed", data={"status": lead.status}),
                               Event(lead=lead, event="follow_up_scheduled", data={})])
    counts = [("all", "people"), ("project", "people"), ("template", "people"), ("template", "click"), ("template", "answer"), ("template", "brochure")]
    Count.objects.bulk_create([Count(day=day, scope=scope, counted=counted, number=1) for scope, counted in counts])


@transaction.atomic
def tap(lead_id, message_id, agent):
    lead = Lead.objects.select_for_update().get(pk=lead_id)
    if Click.objects.filter(lead=lead, action="interested").exists():
        return lead
    now = timezone.now()
    Click.objects.create(lead=lead, message_id=message_id, action="interested", agent=agent)
    lead.status = lead.stage = "Interested"
    lead.consent = "granted"
    lead.save(update_fields=["status", "stage", "consent", "updated_at"])
    Note.objects.create(lead=lead, note=f"[{now:%Y-%m-%d %H:%M:%S}] Clicked 'Interested' via WhatsApp")
    ConsentEvent.objects.create(lead=lead, event="granted", evidence={"via": "link", "agent": agent})
    Message.objects.filter(lead=lead, status="queued", purpose="pitch").update(status="cancelled")
    brochure = Message.objects.create(lead=lead, purpose="brochure", status="queued")
    Queue.objects.create(lead=lead, message=brochure, due_at=now)
    if not FollowUp.objects.filter(lead=lead, closed_at__isnull=True).exists():
        FollowUp.objects.create(lead=lead, due_at=now + timezone.timedelta(hours=1), reason="Interested via WhatsApp")
    tell(lead, message_id, now.date())
    return lead


@csrf_exempt
def track(request, lead_id):
    if not token_is_good(lead_id, request.GET.get("token", "")):
        return HttpResponseForbidden("This link is not valid.")
    lead = tap(lead_id, request.GET.get("m"), request.headers.get("User-Agent", "")[:300])
    return render(request, "page.html", {"lead": lead, "project": "Palm Residency"})


urlpatterns = [path("track/<int:lead_id>/", track)]
application = get_wsgi_application()
