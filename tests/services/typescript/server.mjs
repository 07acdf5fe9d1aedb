// A domain server in another language: the TypeScript SDK, stateless, as its own examples have it. Speaks 2025-11-25.
import { createServer } from "node:http";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const READS = { readOnlyHint: true };
const text = (value) => ({ content: [{ type: "text", text: value }] });

function build(authorization) {
  const server = new McpServer({ name: "typescript", version: "1.0.0" }, { instructions: "Greets." });
  server.registerTool(
    "greet",
    {
      description: "Greets somebody",
      inputSchema: { name: z.string() },
      outputSchema: { greeting: z.string() },
      annotations: READS,
    },
    async ({ name }) => ({ ...text(`Hello, ${name}`), structuredContent: { greeting: `Hello, ${name}` } }),
  );
  server.registerTool("token", { description: "Tells the kind of token", annotations: READS }, async () =>
    text((authorization ?? "").slice(0, 10)),
  );
  server.registerTool("steps", { description: "Reports progress", annotations: READS }, async (extra) => {
    for (const progress of [1, 2]) {
      const progressToken = extra._meta?.progressToken;
      const params = { progressToken, progress, total: 2, message: `step ${progress}` };
      await extra.sendNotification({ method: "notifications/progress", params });
    }
    return text("done");
  });
  server.registerTool("fail", { description: "Fails", annotations: READS }, async () => {
    throw new Error("not today");
  });
  server.registerResource("about", "ts://about", { mimeType: "text/plain" }, async (uri) => ({
    contents: [{ uri: uri.href, text: "written in another language" }],
  }));
  server.registerResource(
    "note",
    new ResourceTemplate("ts://notes/{name}", { list: undefined }),
    {},
    async (uri, { name }) => ({ contents: [{ uri: uri.href, text: `note ${name}` }] }),
  );
  server.registerPrompt("ask", { argsSchema: { topic: z.string() } }, ({ topic }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Tell me of ${topic}` } }],
  }));
  return server;
}

async function serve(request, response) {
  if (request.method !== "POST") return response.writeHead(request.url === "/health/ready" ? 200 : 405).end();
  const server = build(request.headers.authorization);
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => Promise.all([transport.close(), server.close()]));
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

const listener = createServer((request, response) =>
  serve(request, response).catch(() => response.headersSent || response.writeHead(500).end()),
);
listener.listen(Number(process.argv[2]), "127.0.0.1");
