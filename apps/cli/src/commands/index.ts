import type { RegisterCommand } from "@infllm/command";
import { attention } from "./attention.ts";
import { chat } from "./chat.ts";
import { convert } from "./convert.ts";
import { demo } from "./demo.ts";
import { devices } from "./devices.ts";
import { generate } from "./generate.ts";
import { inspect } from "./inspect.ts";
import { pull } from "./pull.ts";
import { quantize } from "./quantize.ts";

/** In the order of `infllm --help`. */
export const commands: readonly RegisterCommand[] = [demo, generate, chat, inspect, attention, devices, pull, convert, quantize];
