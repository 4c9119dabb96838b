/** Serves the built page with the headers that threads need: `npm run web -- --port 8080`. */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sirv from "sirv";

const built = fileURLToPath(new URL("../dist", import.meta.url));
/** Where the search for a free port starts, and how far it goes. */
const firstPort = 4173;
const portsToTry = 20;
const help = `Serves the page that answers questions about long texts.

  npm run web [-- options]

  --port <number>   port to listen on; without it the first free one from 4173 on
  --host <address>  address to listen on; localhost by default. A page from another machine gets WebGPU,
                    threads and offline use over https only
  --help            this text
`;

/**
 * @param {{ port?: number, host?: string, folder?: string }} options a port is taken or refused, never changed
 * @returns {Promise<{ url: string, close(): Promise<void> }>}
 */
export async function serve({ port, host = "localhost", folder = built }) {
  // Not compressed: the weights do not shrink, and their progress is told in bytes.
  const files = sirv(folder, { etag: true, setHeaders: isolate });
  const server = createServer((request, response) =>
    files(request, response, () => {
      isolate(response);
      response.writeHead(404, { "Content-Type": "text/plain" }).end("There is no such file.\n");
    }),
  );
  await listen(server, host, port);
  const { port: found } = server.address();
  return {
    url: `http://${host === "0.0.0.0" || host === "::" ? "localhost" : host}:${found}/`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The page may then share memory between threads. */
function isolate(response) {
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  response.setHeader("X-Content-Type-Options", "nosniff");
}

async function listen(server, host, port) {
  for (let attempt = port ?? firstPort; ; attempt++) {
    const error = await new Promise((resolve) => {
      server.once("error", resolve);
      server.listen(attempt, host, () => {
        server.off("error", resolve);
        resolve(undefined);
      });
    });
    if (error === undefined) return;
    const next = port === undefined && error.code === "EADDRINUSE" && attempt < firstPort + portsToTry;
    if (!next) throw error;
  }
}

async function main() {
  const options = parse();
  if (options === undefined) return;
  try {
    const { url } = await serve(options);
    console.log(`infllm is at ${url}\nCtrl-C ends it.`);
  } catch (error) {
    console.error(`infllm: ${explain(error, options)}`);
    process.exitCode = 1;
  }
}

function parse() {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: "string" },
        host: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      console.log(help);
      return undefined;
    }
    const { port, ...rest } = values;
    if (port === undefined) return rest;
    if (/^\d+$/.test(port) && Number(port) <= 65535) return { ...rest, port: Number(port) };
    throw new Error(`--port is "${port}"; a number from 0 to 65535 is needed.`);
  } catch (error) {
    console.error(`infllm: ${error.message}\n\n${help}`);
    process.exitCode = 2;
    return undefined;
  }
}

/** What went wrong with `serve`, for people. */
export function explain(error, { port, host }) {
  if (error.code === "ENOENT") return "the page is not built yet. Run npm run web in the repository's root, which builds it.";
  if (error.code === "EADDRINUSE") {
    return `port ${port ?? `${firstPort} and the next ${portsToTry}`} is in use. Name another with --port${port === undefined ? "" : ", or leave it out to take the first free one"}.`;
  }
  if (error.code === "EACCES") return `port ${port} may not be used by this account. Name one above 1023 with --port.`;
  if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") return `this machine has no address ${host}. Leave --host out for localhost, or use 0.0.0.0.`;
  return error.message;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
