import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Tells which partition Kafka's own producer picks: sends each key of standard input, one a line, and prints
 * {@code key<TAB>partition} for each, in the order of the input. Nothing but the defaults decides.
 *
 * <p>Usage: {@code java -cp 'JARS/*' Partitions.java ADDRESS TOPIC < keys}
 */
public class Partitions {
    public static void main(String[] arguments) throws Exception {
        var out = new PrintStream(System.out, false, UTF_8);
        var keys = new BufferedReader(new InputStreamReader(System.in, UTF_8)).lines().toList();
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0]);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (var key : keys) {
                sent.add(producer.send(new ProducerRecord<>(arguments[1], key, "{}")));
            }
            for (int i = 0; i < keys.size(); i++) {
                out.println(keys.get(i) + "\t" + sent.get(i).get().partition());
            }
        }
        out.flush();
    }
}
