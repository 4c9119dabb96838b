/** Connects a program to this process: its streams, its exit code and Ctrl-C. */
import { exitCodes } from "./exit-codes.ts";
import { InterruptHandler } from "./interrupts.ts";
import type { Output } from "./io.ts";
import { run, type ProgramInfo } from "./program.ts";

/** Runs the program on this process's arguments and sets the exit code. */
export async function runProcess(program: ProgramInfo): Promise<void> {
  const interrupts = new InterruptHandler(
    () => process.exit(exitCodes.interrupted),
    (press) => process.on("SIGINT", press),
  );
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      // The reader of a pipe went away (`infllm generate | head -1`): nothing more to say, and nobody to say it to.
      process.exit(error.code === "EPIPE" ? exitCodes.ok : exitCodes.failed);
    });
  }
  process.exitCode = await run(process.argv.slice(2), program, {
    stdin: process.stdin,
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    env: process.env,
    interrupts,
  });
}

function output(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => void stream.write(text),
    stream,
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.isTTY ? stream.columns : undefined;
    },
  };
}
