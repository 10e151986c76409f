-- The formats of IVR providers, as data: where their bodies hold what, and what their words mean. A site adds its own in the same way.

-- Most keys are wanted as they are, so a word stands for $.word; what begins with $ is a path.
INSERT INTO wacta.ivr_field (format, field, nth, path)
SELECT v.format, v.field, p.nth, CASE WHEN p.path LIKE '$%' THEN p.path ELSE '$.' || p.path END::jsonpath
  FROM (VALUES
  -- docs.smartflo.tatatelebusiness.com/docs/webhook: the customer types the body there; these are the names of the variables, which
  -- bodies in public projects use as keys, too. The same platform is sold as Acefone.
  ('smartflo', 'call_id', '{call_id,uuid}'::text[]),
  ('smartflo', 'customer', '{customer_no_with_prefix,customer_number_with_prefix,customer_number}'),
  ('smartflo', 'caller', '{caller_id_number}'),
  ('smartflo', 'called', '{call_to_number}'),
  ('smartflo', 'direction', '{direction}'),
  ('smartflo', 'status', '{call_status,status,trigger,event}'),
  ('smartflo', 'digits', '{digits_dialed,digits,dtmf}'),
  ('smartflo', 'started_at', '{start_stamp}'),
  ('smartflo', 'ended_at', '{end_stamp}'),
  ('smartflo', 'duration', '{duration,billsec}'),

  -- docs.exotel.com/voice-apis/working-with-passthru-applet, developer.exotel.com/api/statuscallback
  ('exotel', 'call_id', '{CallSid,Sid,call_sid}'),
  ('exotel', 'caller', '{CallFrom,From}'),
  ('exotel', 'called', '{CallTo,To}'),
  ('exotel', 'direction', '{Direction}'),
  -- Status is the agent's while they are being dialled: busy with this very call
  ('exotel', 'status', '{DialCallStatus,CallType,"$ ? (!(@.EventType == \"Dial\")).Status",EventType,CallStatus,status,trigger}'),
  ('exotel', 'digits', '{digits,Digits}'),
  ('exotel', 'started_at', '{StartTime,Created,DateCreated}'),
  ('exotel', 'ended_at', '{EndTime}'),
  ('exotel', 'event_at', '{CurrentTime,DateUpdated}'),
  ('exotel', 'duration', '{DialCallDuration,ConversationDuration,Duration}'),

  -- Public projects that take Knowlarity's call logs, events and keys. action is the key pressed, in events of type dtmf alone.
  ('knowlarity', 'call_id', '{callid,call_id,uuid}'),
  ('knowlarity', 'customer', '{customer_number}'),
  ('knowlarity', 'caller', '{caller_id}'),
  ('knowlarity', 'called', '{dispnumber,knowlarity_number,display_number}'),
  ('knowlarity', 'direction', '{call_type,call_direction,direction}'),
  ('knowlarity', 'status', '{type,event_type,call_status,status,trigger}'),
  ('knowlarity', 'digits', '{"$ ? (@.type == \"dtmf\").action",dtmf,digits}'),
  ('knowlarity', 'started_at', '{start_time}'),
  ('knowlarity', 'ended_at', '{"$ ? (!(@.type == \"dtmf\")).end_time"}'),
  ('knowlarity', 'duration', '{call_duration,duration}'),

  -- docs.ozonetel.com (call events, call detail records), kookoo.in (its requests). CallerID is the customer of an outbound call, too.
  ('ozonetel', 'call_id', '{monitorUCID,monitor_ucid,MonitorUCID,ucid,UCID,sid}'),
  ('ozonetel', 'customer', '{CallerID,caller_id,cid}'),
  ('ozonetel', 'called', '{Did,DID,did,called_number}'),
  ('ozonetel', 'direction', '{Type,CallType,call_type,"$ ? (@.event == \"NewCall\").event"}'),
  ('ozonetel', 'status', '{Status,DialStatus,action,event,trigger}'),
  ('ozonetel', 'digits', '{"$ ? (@.event == \"GotDTMF\").data"}'),
  ('ozonetel', 'started_at', '{StartTime}'),
  ('ozonetel', 'ended_at', '{EndTime}'),
  ('ozonetel', 'event_at', '{event_time,eventTime}'),
  ('ozonetel', 'duration', '{CallDuration,Duration}'),

  -- www.twilio.com/docs/voice/twiml, /docs/voice/api/call-resource (StatusCallback), /docs/voice/twiml/dial (action)
  ('twilio', 'call_id', '{CallSid}'),
  ('twilio', 'parent_id', '{ParentCallSid}'),
  ('twilio', 'caller', '{From,Caller}'),
  ('twilio', 'called', '{To,Called}'),
  ('twilio', 'direction', '{Direction}'),
  ('twilio', 'status', '{DialCallStatus,CallStatus,trigger}'),
  ('twilio', 'digits', '{Digits}'),
  ('twilio', 'started_at', '{StartTime}'),
  ('twilio', 'event_at', '{Timestamp}'),
  ('twilio', 'duration', '{CallDuration}'),

  -- developer.vonage.com/voice/voice-api/webhook-reference: legs of one call share a conversation
  ('vonage', 'call_id', '{conversation_uuid,conversation_uuid_from,uuid}'),
  ('vonage', 'caller', '{$.from.number,from,from_user}'),
  ('vonage', 'called', '{$.to.number,to}'),
  ('vonage', 'direction', '{direction}'),
  ('vonage', 'status', '{status,trigger}'),
  ('vonage', 'digits', '{$.dtmf.digits,dtmf}'),
  ('vonage', 'started_at', '{start_time}'),
  ('vonage', 'event_at', '{timestamp}'),
  ('vonage', 'duration', '{duration}'),

  -- www.plivo.com/docs/voice/xml/request, docs.plivo.com/docs/account/api/application
  ('plivo', 'call_id', '{CallUUID}'),
  ('plivo', 'parent_id', '{ALegUUID,DialALegUUID}'),
  ('plivo', 'caller', '{From}'),
  ('plivo', 'called', '{To}'),
  ('plivo', 'direction', '{Direction}'),
  ('plivo', 'status', '{DialStatus,CallStatus,trigger}'),
  ('plivo', 'digits', '{Digits}'),
  ('plivo', 'started_at', '{StartTime}'),
  ('plivo', 'ended_at', '{EndTime}'),
  ('plivo', 'duration', '{Duration}'),

  -- support.myoperator.com: after-call and in-call webhooks. Both have the unique id of the call: in the list of parameters, and as uid.
  ('myoperator', 'call_id', '{"$._pm[*] ? (@.ky == \"ui\").vl",uid,_ai}'),
  ('myoperator', 'customer', '{_cl,_cr,clid,clid_raw}'),
  ('myoperator', 'called', '{$._ld[*]._did,rdnis,did}'),
  ('myoperator', 'direction', '{_ty}'),
  ('myoperator', 'status', '{_su,call_state,trigger}'),
  ('myoperator', 'started_at', '{_st}'),
  ('myoperator', 'ended_at', '{_et}'),
  ('myoperator', 'duration', '{_dr}'),

  -- Who has no format of their own: the names that others use
  ('generic', 'call_id', '{call_id,callid,callId,CallId,call_sid,CallSid,callSid,CallUUID,call_uuid,uuid,ucid,uniqueid,unique_id,session_id,sid,id}'),
  ('generic', 'parent_id', '{parent_call_id,ParentCallSid,parent_call_uuid}'),
  ('generic', 'customer', '{customer,customer_number,customerNumber,customer_phone,customer_no_with_prefix}'),
  ('generic', 'caller', '{caller,caller_id,callerId,CallerID,caller_number,callerNumber,caller_id_number,from,From,from_number,fromNumber,CallFrom,SourceNumber,source_number,phone,mobile,msisdn,ani,cli}'),
  ('generic', 'called', '{called,called_number,calledNumber,to,To,to_number,toNumber,CallTo,call_to_number,DestinationNumber,destination_number,did,Did,DID,virtual_number}'),
  ('generic', 'direction', '{direction,Direction,call_direction,call_type}'),
  ('generic', 'status', '{status,Status,call_status,callStatus,CallStatus,state,event_type,event,type,trigger}'),
  ('generic', 'digits', '{$.dtmf.digits,digits,Digits,dtmf,digits_dialed,keypress,key_pressed,input}'),
  ('generic', 'started_at', '{started_at,startedAt,start_time,startTime,StartTime,start_stamp,call_start_time,created_at}'),
  ('generic', 'ended_at', '{ended_at,endedAt,end_time,endTime,EndTime,end_stamp,call_end_time}'),
  ('generic', 'event_at', '{timestamp,event_time,time,Timestamp,CurrentTime}'),
  ('generic', 'duration', '{duration,Duration,call_duration,callDuration,CallDuration,duration_sec,billsec}')) v(format, field, paths),
       unnest(v.paths) WITH ORDINALITY p(path, nth);
INSERT INTO wacta.ivr_field (format, field, nth, path) SELECT 'acefone', f.field, f.nth, f.path FROM wacta.ivr_field f WHERE f.format = 'smartflo';

INSERT INTO wacta.ivr_word (field, word, meaning)
SELECT v.field, word, v.meaning
  FROM (VALUES
  ('direction', 'inbound', '{in,inbound,incoming,received,ivr,trunking originating}'::text[]),
  ('direction', 'outbound', '{out,outbound,outgoing,clicktocall,click to call,click2call,c2c,dial,dialer,dialled,dialed,manual,progressive,preview,predictive,webobd,obd,broadcast,trunking terminating}'),
  ('status', 'received', '{queued,initiated,started,start,received,incoming,newcall,new call,created,scheduled,calling,dialing,originate,init}'),
  ('status', 'ringing', '{ringing,ring,alerting,early,dialed on agent,dialled on agent,agent call,customer call}'),
  ('status', 'connected', '{in progress,inprogress,connected,dtmf,gotdtmf,input,answered on ivr,ivr,menu,record,call attempt,early media}'),
  ('status', 'answered', '{answered,answer,contacted,bridge,bridged,talking,human}'),
  ('status', 'missed', '{missed,not answered,notanswered,no answer,noanswer,not answer,unanswered,busy,failed,failure,cancel,cancelled,canceled,rejected,declined,timeout,timed out,abandoned,incomplete,client hangup,unreachable,not reachable,unavailable,chanunavail,congestion,not connected,notconnected,voicemail}'),
  ('status', 'completed', '{completed,complete,ended,end,hangup,hang up,hungup,hung up,disconnected,disconnect,finished,terminated,closed}'))
       v(field, meaning, words), unnest(v.words) word;

-- An application takes the call itself: a person has spoken with the caller when the leg to the staff was answered.
INSERT INTO wacta.ivr_word (format, word, direction, meaning) VALUES
  ('vonage', 'answered', 'inbound', 'connected'),
  ('twilio', 'in progress', 'outbound', 'answered'),
  ('twilio', 'completed', 'outbound', 'answered'), ('twilio', 'completed', 'outbound', 'completed'),
  ('plivo', 'in progress', 'outbound', 'answered'),
  -- CallType and DialCallStatus: completed is said of a conversation
  ('exotel', 'completed', '*', 'answered'), ('exotel', 'completed', '*', 'completed'),
  ('exotel', 'dial', '*', 'ringing'), ('exotel', 'terminal', '*', 'completed');
INSERT INTO wacta.ivr_word (format, field, word, meaning) VALUES
  ('ozonetel', 'direction', 'newcall', 'inbound'),
  ('myoperator', 'direction', '1', 'inbound'), ('myoperator', 'direction', '2', 'outbound'),
  ('myoperator', 'status', '0', 'ringing'), ('myoperator', 'status', '1', 'answered'), ('myoperator', 'status', '2', 'missed');
