-- One row a call, from the set of its events: right in whatever order they came, however often and however late.
-- Of two events of one type the later counts: the bridge may fill a gap by itself and the real event come after all.
CREATE VIEW call AS
WITH newest AS (
    SELECT DISTINCT ON (callid, type) * FROM atoms_event ORDER BY callid, type, receivedat DESC, id DESC
)
SELECT
    callid,
    count(*) AS events,
    max(occurredat) FILTER (WHERE type = 'post-conversation') AS endedat,
    max(call_status) AS status,
    max(call_durationseconds) AS seconds,
    max(analytics_summary) AS summary
FROM newest GROUP BY callid;
