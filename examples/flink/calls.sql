-- How many calls ended how, and how long they took, kept up to date as events come: GROUP BY over a topic.

CREATE TABLE event (
    id STRING,
    callId STRING,
    receivedAt STRING,
    `call` ROW<status STRING, durationSeconds DOUBLE>
) WITH (
    'connector' = 'kafka',
    'properties.bootstrap.servers' = 'broker:9092',
    'properties.group.id' = 'call-statistics',
    -- Not Flink's default: what an aborted transaction left on a topic is no event.
    'properties.isolation.level' = 'read_committed',
    'topic' = 'atoms.post-conversation',
    'scan.startup.mode' = 'earliest-offset',
    -- Ends at what is there now; without this line the query goes on for ever.
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);

-- Of the events of a call the last one counts, and so a replay counts once and a later event corrects the sum.
SELECT status, COUNT(*) AS calls, AVG(seconds) AS seconds
FROM (
    SELECT `call`.status AS status, `call`.durationSeconds AS seconds,
        ROW_NUMBER() OVER (PARTITION BY callId ORDER BY receivedAt DESC) AS age
    FROM event
)
WHERE age = 1
GROUP BY status;
