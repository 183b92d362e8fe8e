// Judges an AsyncAPI document by AsyncAPI's own parser: node asyncapi.cjs FILE
//
// Prints one JSON object: what the parser complains of, and what it understood of each channel.

const fs = require("fs");
const { Parser, DiagnosticSeverity } = require("@asyncapi/parser");

async function main(file) {
  const parsed = await new Parser().parse(fs.readFileSync(file, "utf8"), { source: file });
  const told = (severity) =>
    parsed.diagnostics
      .filter((diagnostic) => diagnostic.severity === severity)
      .map(({ code, path, message }) => `${code} at ${path.join("/")}: ${message}`);
  console.log(
    JSON.stringify({
      errors: told(DiagnosticSeverity.Error),
      warnings: told(DiagnosticSeverity.Warning),
      others: told(DiagnosticSeverity.Information).concat(told(DiagnosticSeverity.Hint)),
      version: parsed.document?.version(),
      channels: parsed.document?.channels().all().map(channel) ?? [],
    }),
  );
}

// A reference to a struct that is met again inside itself would end in a circle; there is none.
function channel(channel) {
  const [message] = channel.messages().all();
  return {
    topic: channel.address(),
    binding: channel.bindings().get("kafka").value(),
    operations: channel.operations().all().map((operation) => operation.action()),
    message: {
      name: message.name(),
      contentType: message.contentType(),
      binding: message.bindings().get("kafka").value(),
      headers: message.headers().json(),
      schemaFormat: message.schemaFormat(),
      payload: message.payload().json(),
    },
  };
}

main(process.argv[2]);
