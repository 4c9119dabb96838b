/** Runs `infllm-bench` from the checkout: `npm run bench -- quick`. */
import { runApp } from "./run-app.mjs";

runApp("@infllm/bench", "bench");
