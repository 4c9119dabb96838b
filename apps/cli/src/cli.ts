#!/usr/bin/env node
import { runProcess } from "@infllm/command";
import { program } from "./program.ts";

await runProcess(program);
