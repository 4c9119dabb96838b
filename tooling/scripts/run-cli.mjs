/** Runs `infllm` from the checkout: `npm run infllm -- generate --help`, `npm run demo`. */
import { runApp } from "./run-app.mjs";

runApp("infllm", "cli");
