/** Reads the arguments, runs one command, and turns whatever happened into one line and an exit code. */
import { Command, CommanderError } from "commander";
import { BadUsageError, exitCodes, InterruptedError } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/** Adds commands to the program. */
export type RegisterCommand = (program: Command, io: Io) => void;

/** A program: what stands at the top of its help, and its commands in the order of the help. */
export interface ProgramInfo {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** A command line to start with, and what it does. */
  readonly example: readonly [line: string, what: string];
  readonly commands: readonly RegisterCommand[];
}

export async function run(args: readonly string[], info: ProgramInfo, io: Io): Promise<number> {
  try {
    await createProgram(info, io).parseAsync(args, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    return report(error, info.name, io);
  }
}

function createProgram({ name, version, description, example, commands }: ProgramInfo, io: Io): Command {
  const [line, what] = example;
  const program = new Command(name)
    .description(description)
    .version(version, "-v, --version")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    })
    .addHelpText("after", `\nExample:\n  ${line}        ${what}\n`);
  for (const register of commands) register(program, io);
  for (const command of program.commands) command.showHelpAfterError(`(${name} ${command.name()} --help lists the options)`);
  return program;
}

function report(error: unknown, name: string, io: Io): number {
  // Commander has printed its own message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof InterruptedError || io.interrupts.interrupted) {
    io.stderr.write("Stopped.\n");
    return exitCodes.interrupted;
  }
  io.stderr.write(`${name}: ${describe(error, io)}\n`);
  return error instanceof BadUsageError ? exitCodes.usage : exitCodes.failed;
}

function describe(error: unknown, io: Io): string {
  if (!(error instanceof Error)) return String(error);
  if (io.env["INFLLM_DEBUG"] === "1") return error.stack ?? error.message;
  return error.message;
}
