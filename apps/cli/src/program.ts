/** Reads the arguments, runs one command, and turns whatever happened into one line and an exit code. */
import { Command, CommanderError } from "commander";
import { version } from "../package.json";
import { BadUsageError, exitCodes, InterruptedError } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/** Adds one command to the program. */
export type RegisterCommand = (program: Command, io: Io) => void;

export async function run(args: readonly string[], commands: readonly RegisterCommand[], io: Io): Promise<number> {
  try {
    await createProgram(commands, io).parseAsync(args, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    return report(error, io);
  }
}

function createProgram(commands: readonly RegisterCommand[], io: Io): Command {
  const program = new Command("infllm")
    .description("Runs language models over long texts: attention is dense on short input and block-sparse on long input.")
    .version(version, "-v, --version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    })
    .addHelpText("after", "\nExample:\n  infllm demo        ask the embedded model about a long text, dense and sparse\n");
  for (const register of commands) register(program, io);
  for (const command of program.commands) command.showHelpAfterError(`(infllm ${command.name()} --help lists the options)`);
  return program;
}

function report(error: unknown, io: Io): number {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof InterruptedError || io.interrupts.interrupted) {
    io.stderr.write("Stopped.\n");
    return exitCodes.interrupted;
  }
  io.stderr.write(`infllm: ${describe(error, io)}\n`);
  return error instanceof BadUsageError ? exitCodes.usage : exitCodes.failed;
}

function describe(error: unknown, io: Io): string {
  if (!(error instanceof Error)) return String(error);
  if (io.env["INFLLM_DEBUG"] === "1") return error.stack ?? error.message;
  return error.message;
}
