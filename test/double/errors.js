'use strict';
/*
 * The provider's errors: numbers, words and HTTP statuses as Meta publishes them, and the two
 * forms they travel in (the answer's envelope, the `errors` array of a failed status).
 */
const crypto = require('node:crypto');

const HREF = '/documentation/business-messaging/whatsapp/support/error-codes';

/* code: [HTTP status, title, details].  No details: the title says it all. */
const TABLE = {
  0: [401, 'AuthException', 'Unable to authenticate the app user.'],
  1: [400, 'API Unknown', 'Invalid request or possible server error.'],
  2: [503, 'API Service', 'Temporary due to downtime or due to being overloaded.'],
  3: [500, 'API Method', 'Capability or permissions issue.'],
  4: [400, 'API Too Many Calls', 'The app has reached its API call rate limit.'],
  10: [403, 'Permission Denied', 'Permission is either not granted or has been removed.'],
  33: [400, 'Parameter value is not valid', 'The business phone number has been deleted.'],
  100: [400, 'Invalid parameter'],
  190: [401, 'Invalid OAuth access token - Cannot parse access token'],
  200: [403, 'API Permission', 'Permission is either not granted or has been removed.'],
  368: [403, 'Temporarily blocked for policies violations',
    'The WhatsApp Business Account associated with the app has been restricted or disabled for violating a platform policy.'],
  80007: [400, 'Rate limit issues', 'The WhatsApp Business Account has reached its rate limit.'],
  130403: [400, 'User blocked by business'],
  130429: [400, 'Rate limit hit', 'Cloud API message throughput has been reached.'],
  130472: [400, "User's number is part of an experiment",
    "Message was not sent as part of an experiment."],
  130497: [403, 'Business account is restricted from messaging users in this country.'],
  131000: [500, 'Something went wrong', 'Message failed to send due to an unknown error.'],
  131005: [403, 'Access denied', 'Permission is either not granted or has been removed.'],
  131008: [400, 'Required parameter is missing'],
  131009: [400, 'Parameter value is not valid'],
  131016: [500, 'Service unavailable', 'A service is temporarily unavailable.'],
  131021: [400, 'Recipient cannot be sender', 'Sender and recipient phone number is the same.'],
  131026: [400, 'Message undeliverable', 'Message Undeliverable.'],
  131030: [400, 'Recipient phone number not in allowed list'],
  131031: [403, 'Business account has been locked'],
  131037: [400, 'WhatsApp provided number needs display name approval before message can be sent.'],
  131042: [400, 'Business eligibility payment issue'],
  131045: [500, 'Incorrect certificate', 'Message failed to send due to a phone number registration error.'],
  131047: [400, 'Re-engagement message',
    'Message failed to send because more than 24 hours have passed since the customer last replied to this number.'],
  131048: [400, 'Spam rate limit hit',
    'Message failed to send because there are restrictions on how many messages can be sent from this phone number.'],
  131049: [400, 'This message was not delivered to maintain healthy ecosystem engagement.',
    'In order to maintain a healthy ecosystem engagement, the message failed to be delivered.'],
  131050: [400, 'Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp from your business'],
  131051: [400, 'Unsupported message type', 'Message type is not currently supported.'],
  131052: [400, 'Media download error', 'Unable to download the media sent by the user.'],
  131053: [400, 'Media upload error', 'Unable to upload the media used in the message.'],
  131056: [400, '(Business Account, Consumer Account) pair rate limit hit',
    'Too many messages sent from the sender phone number to the same recipient phone number in a short period of time.'],
  131057: [500, 'Account in maintenance mode'],
  131062: [400, 'Business-scoped user ID recipients are not supported for this message'],
  131064: [400, 'Message undeliverable due to template misclassification limit'],
  132000: [400, 'Number of parameters does not match the expected number of params'],
  132001: [404, 'Template name does not exist in the translation'],
  132005: [400, 'Translated text too long'],
  132007: [400, 'Template format character policy violated'],
  132012: [400, 'Parameter format does not match format in the created template'],
  132015: [400, 'Template is paused', 'Template is paused due to low quality so it cannot be sent in a template message.'],
  132016: [400, 'Template is disabled',
    'Template has been paused too many times due to low quality and is now permanently disabled.'],
  132018: [400, 'Template parameter format is not valid'],
  132068: [400, 'Flow is in blocked state'],
  132069: [400, 'Flow is in throttled state'],
  133000: [500, 'Deregistration Incomplete'],
  133004: [503, 'Server Temporarily Unavailable'],
  133008: [400, 'Too Many two-step verification PIN Guesses'],
  133010: [400, 'Phone number Not Registered'],
  133015: [400, 'Please wait a few minutes before attempting to register this phone number'],
  133016: [400, 'Account register deregister rate limit exceeded'],
  134101: [503, 'Template is syncing'],
  135000: [400, 'Generic user error'],
};

/* Words of Graph's creation errors: subcode: [title, message]. */
const SUBCODES = {
  2388019: ['Message Template Limit Exceeded', 'The limit of message templates has been reached.'],
  2388024: ['Content in this language already exists', 'There is already content in this language for this template.'],
  2388040: ['Character limit exceeded', 'A field has more characters than its limit allows.'],
  2388047: ['Message header format is incorrect', "Header can't have new lines, emojis, asterisks, formatting characters or more than one variable."],
  2388072: ['Message body format is incorrect', 'The body, its variables or its example values are not in the expected format.'],
  2388073: ['Message footer format is incorrect', "The message footer can't have new lines, emojis or variables."],
  2388060: ['Button format is incorrect', "Buttons can't have any variables, newlines, emojis or formatting characters."],
  2388293: ['Parameters words ratio exceeds limit',
    'This template has too many variables for its length. Reduce the number of variables or increase the message length.'],
  2388299: ['Leading or trailing params not allowed', "Variables can't be at the start or end of the template."],
};

const titleOf = (code) => (TABLE[code] || [400, 'Unknown error'])[1];
const statusOf = (code) => (TABLE[code] || [400])[0];
const detailsOf = (code) => (TABLE[code] || [])[2];
const traceId = () => 'A' + crypto.randomBytes(16).toString('base64url');

/*
 * A refusal.  `more` may hold details, subcode, status, type, and message (to replace the
 * usual "(#code) title").
 */
class ProviderError extends Error {
  constructor(code, more = {}) {
    super(more.message || `(#${code}) ${titleOf(code)}`);
    this.code = code;
    this.status = more.status || statusOf(code);
    this.details = more.details || detailsOf(code);
    this.subcode = more.subcode;
    this.type = more.type || 'OAuthException';
    this.userTitle = more.userTitle;
    this.userMessage = more.userMessage;
  }
}

function refuse(code, more) {
  throw new ProviderError(code, typeof more === 'string' ? { details: more } : more);
}

/* Refuses a template as Graph does: code 100, and the useful words in error_user_*. */
function refuseTemplate(subcode, userMessage) {
  const [userTitle, usual] = SUBCODES[subcode] || ['Invalid parameter', ''];
  refuse(100, { message: 'Invalid parameter', subcode, userTitle, userMessage: userMessage || usual });
}

/* The envelope of an answer. */
function envelope(e) {
  const error = { message: e.message, type: e.type, code: e.code };
  if (e.subcode) error.error_subcode = e.subcode;
  if (e.userTitle) {
    error.is_transient = false;
    error.error_user_title = e.userTitle;
    error.error_user_msg = e.userMessage;
  }
  if (e.details) error.error_data = { messaging_product: 'whatsapp', details: e.details };
  error.fbtrace_id = traceId();
  return { error };
}

/* The same error as an item of `statuses[].errors`. */
function statusError(code, details) {
  const title = titleOf(code);
  return { code, title, message: title, error_data: { details: details || detailsOf(code) || title }, href: HREF };
}

module.exports = { ProviderError, refuse, refuseTemplate, envelope, statusError, statusOf };
