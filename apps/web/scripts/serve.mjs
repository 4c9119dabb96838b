/** Serves the built page with the headers that threads need: `npm run web -- --port 8080`. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { preview } from "vite";

const root = fileURLToPath(new URL("../", import.meta.url));
const help = `Serves the page that answers questions about long texts.

  npm run web [-- options]

  --port <number>   port to listen on; without it the first free one from 4173 on
  --host <address>  address to listen on; localhost by default. A page from another machine gets WebGPU,
                    threads and offline use over https only
  --open            open it in the browser
  --help            this text
`;

/**
 * @param {{ port?: number, host?: string, open?: boolean, outDir?: string }} options a port is taken or refused, never changed
 * @returns {Promise<{ url: string, close(): Promise<void> }>}
 */
export async function serve({ port, host = "localhost", open = false, outDir = "dist" }) {
  const server = await preview({
    root,
    logLevel: "error",
    build: { outDir },
    preview: { port: port ?? 4173, strictPort: port !== undefined, host, open },
  });
  const [url] = [...(server.resolvedUrls?.local ?? []), ...(server.resolvedUrls?.network ?? [])];
  if (url === undefined) throw new Error("The server has no address.");
  return { url, close: () => server.close() };
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
        open: { type: "boolean" },
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

function explain(error, { port, host }) {
  if (error.code === "EADDRINUSE" || /already in use/.test(error.message)) {
    return `port ${port} is in use. Name another with --port, or leave it out to take the first free one.`;
  }
  if (error.code === "EACCES") return `port ${port} may not be used by this account. Name one above 1023 with --port.`;
  if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") return `this machine has no address ${host}. Leave --host out for localhost, or use 0.0.0.0.`;
  return error.message;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
