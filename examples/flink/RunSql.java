import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/**
 * Runs the statements of a file in a Flink inside this process, and prints what the queries say: as rows change, since
 * streams do not end. On a cluster, give the same file to Flink's SQL client.
 *
 * <p>Usage: {@code java -cp 'jars/*' RunSql.java FILE}
 */
public class RunSql {
    public static void main(String[] arguments) throws Exception {
        var tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        tables.getConfig().set("parallelism.default", "1");
        for (var statement : Files.readString(Path.of(arguments[0])).split(";\\s*\n")) {
            if (!statement.isBlank()) {
                tables.executeSql(statement).print();
            }
        }
    }
}
