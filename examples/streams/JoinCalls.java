import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Joins the three events of each call into one record, keyed by the call's id:
 * {@code {"callId": …, "complete": true, "events": {"pre-conversation": {…}, …}}}.
 *
 * <p>No repartitioning: the topics have one partition count, and the bridge places keys as Java's producer does, so the
 * events of a call meet in one task. They may come in any order; one that comes again (a replay, a second bridge) is known
 * by its {@code id} and ignored. A call whose rest does not come within the grace after its last event goes out incomplete;
 * what comes later still goes out, as the call's next record. So the last record of a key counts: upsert it.
 *
 * <p>Usage: {@code java -cp 'jars/*' JoinCalls.java BROKER PREFIX OUTPUT [GRACE [APPLICATION]]}, the grace as {@code PT1H}.
 */
public class JoinCalls {
    static final List<String> TYPES = List.of("pre-conversation", "post-conversation", "analytics-completed");
    /**
     * How long a call is remembered after its last event, and so how late a duplicate may come. A replay of what is older goes
     * out as a call of its own: longer than you replay, or replay whole calls.
     */
    static final Duration REMEMBERED = Duration.ofDays(7);
    static final String STORE = "calls";
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) {
        var grace = Duration.parse(arguments.length > 3 ? arguments[3] : "PT1H");
        var settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.length > 4 ? arguments[4] : "join-calls");
        // Reads only what is committed, and keeps input, state and output in step: no call goes out twice after a crash.
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

        var streams = new KafkaStreams(topology(arguments[1], arguments[2], grace), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    static Topology topology(String prefix, String output, Duration grace) {
        var builder = new StreamsBuilder();
        // In memory, and in a changelog topic from which it is restored. For more calls than fit: persistentKeyValueStore.
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), json()));
        var topics = TYPES.stream().map(type -> prefix + type).toList();
        builder.stream(topics, Consumed.with(Serdes.String(), json()))
            .process(() -> new Join(grace), STORE)
            .to(output, Produced.with(Serdes.String(), json()));
        return builder.build();
    }

    /** Gathers each call's events and decides when they go out. */
    static class Join implements Processor<String, JsonNode, String, JsonNode> {
        private final Duration grace;
        private ProcessorContext<String, JsonNode> context;
        private KeyValueStore<String, JsonNode> calls;

        Join(Duration grace) {
            this.grace = grace;
        }

        @Override
        public void init(ProcessorContext<String, JsonNode> context) {
            this.context = context;
            calls = context.getStateStore(STORE);
            // By the wall clock: after a call's last event nothing else moves the time of a quiet topic.
            context.schedule(grace.dividedBy(10), PunctuationType.WALL_CLOCK_TIME, this::decide);
        }

        @Override
        public void process(Record<String, JsonNode> record) {
            var event = record.value();
            var stored = calls.get(record.key());
            var call = stored == null ? empty() : (ObjectNode) stored;
            if (!isNew(call, event.path("id").asText())) {
                return;
            }
            var events = call.withObject("/events");
            var type = event.path("type").asText();
            // Of two events of one type the later counts, whichever comes first: times in UTC compare as text.
            var known = events.path(type).path("receivedAt").asText();
            if (event.path("receivedAt").asText().compareTo(known) >= 0) {
                events.set(type, event);
            }
            call.put("lastMs", context.currentSystemTimeMs());
            if (events.size() == TYPES.size() || call.path("out").asBoolean()) {
                out(record.key(), call, context.currentSystemTimeMs());
            }
            calls.put(record.key(), call);
        }

        /** Sends out what has waited for its grace, and forgets what is old. */
        private void decide(long nowMs) {
            var waited = new ArrayList<String>();
            var old = new ArrayList<String>();
            try (var all = calls.all()) {
                while (all.hasNext()) {
                    var entry = all.next();
                    var quietMs = nowMs - entry.value.path("lastMs").asLong();
                    if (quietMs >= REMEMBERED.toMillis()) {
                        old.add(entry.key);
                    } else if (quietMs >= grace.toMillis() && !entry.value.path("out").asBoolean()) {
                        waited.add(entry.key);
                    }
                }
            }
            for (var key : waited) {
                var call = (ObjectNode) calls.get(key);
                out(key, call, nowMs);
                calls.put(key, call);
            }
            old.forEach(calls::delete);
        }

        private void out(String key, ObjectNode call, long nowMs) {
            call.put("out", true);
            var joined = JSON.createObjectNode().put("callId", key);
            joined.put("complete", call.path("events").size() == TYPES.size());
            joined.set("events", call.path("events"));
            context.forward(new Record<>(key, joined, nowMs));
        }
    }

    static ObjectNode empty() {
        return JSON.createObjectNode();
    }

    /** Notes an event's id; whether it was not noted before. */
    static boolean isNew(ObjectNode call, String id) {
        var ids = call.withArray("/ids");
        for (var seen : ids) {
            if (seen.asText().equals(id)) {
                return false;
            }
        }
        ids.add(id);
        return true;
    }

    static Serde<JsonNode> json() {
        return Serdes.serdeFrom(
            (topic, value) -> value == null ? null : write(value),
            (topic, bytes) -> bytes == null ? null : read(bytes));
    }

    static byte[] write(JsonNode value) {
        try {
            return JSON.writeValueAsBytes(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static JsonNode read(byte[] bytes) {
        try {
            // With registry.schema_id = "prefix" a zero and the schema's id, 4 bytes, stand before the value.
            int start = bytes.length > 5 && bytes[0] == 0 ? 5 : 0;
            return JSON.readTree(bytes, start, bytes.length - start);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
