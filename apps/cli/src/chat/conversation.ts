/** The turns of a chat, and the commands that start with a slash. */
import type { AttentionMode } from "@infllm/attention";
import { count, type Io, Progress } from "@infllm/command";
import type { ChatMessage, ChatTemplateOptions, GenerateStats, Model, Session, SpeculateOptions } from "@infllm/model";
import { describeStats } from "../terminal/stats.ts";

export interface ChatOptions {
  readonly system?: string;
  /** Variables for the chat template. */
  readonly template?: ChatTemplateOptions | undefined;
  readonly maxTokens: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly attention: AttentionMode;
  readonly speculate: SpeculateOptions | undefined;
}

const help = `/reset  forget the conversation
/stats  lengths and speeds of the last answer, and memory
/help   this list
/exit   leave (as do Ctrl-D, and Ctrl-C at the prompt)
`;

export class Conversation {
  readonly #session: Session;
  #messages: ChatMessage[];
  #lastStats: GenerateStats | undefined;

  constructor(
    readonly model: Model,
    readonly options: ChatOptions,
    readonly io: Io,
  ) {
    this.#session = model.createSession();
    this.#messages = this.#beginning();
  }

  /** Answers a message or obeys a command; false when the chat is over. */
  async take(line: string): Promise<boolean> {
    const text = line.trim();
    if (text === "") return true;
    if (text === "/exit" || text === "/quit") return false;
    if (text.startsWith("/")) this.#obey(text);
    else await this.#answer(text);
    return true;
  }

  #beginning(): ChatMessage[] {
    const { system } = this.options;
    return system === undefined ? [] : [{ role: "system", content: system }];
  }

  #obey(command: string): void {
    const { stdout } = this.io;
    if (command === "/reset") {
      this.#messages = this.#beginning();
      this.#session.reset();
      stdout.write("The conversation starts afresh.\n");
    } else if (command === "/stats") {
      stdout.write(this.#lastStats ? describeStats(this.#lastStats, this.model.memory()) : "There is no complete answer yet.\n");
    } else if (command === "/help") {
      stdout.write(help);
    } else {
      stdout.write(`Unknown command ${command}.\n${help}`);
    }
  }

  async #answer(text: string): Promise<void> {
    const messages = [...this.#messages, { role: "user", content: text }];
    const ids = this.model.promptIds(messages, this.options.template);
    if (ids.length >= this.model.contextLength) {
      this.io.stderr.write(
        `The chat would have ${count(ids.length)} tokens with this message, but its context holds ` +
          `${count(this.model.contextLength)}. Type /reset to start afresh, or restart with a larger --context.\n`,
      );
      return;
    }
    const answer = await this.io.interrupts.scoped((signal) => this.#stream(ids, signal));
    this.#messages = [...messages, { role: "assistant", content: answer }];
  }

  /** Prints the answer as it comes. Ctrl-C ends it early; what was said until then counts as the answer. */
  async #stream(ids: readonly number[], signal: AbortSignal): Promise<string> {
    const { stdout, stderr } = this.io;
    const progress = new Progress(stderr);
    const { maxTokens, temperature, topP, seed, attention, speculate } = this.options;
    let answer = "";
    try {
      const pieces = this.#session.generate(ids, {
        maxTokens,
        temperature,
        topP,
        seed,
        attention,
        speculate,
        signal,
        onPrefill: ({ processed, total }) => progress.update("Reading", processed, total),
        onFinish: (stats) => {
          this.#lastStats = stats;
        },
      });
      for await (const piece of pieces) {
        progress.clear();
        stdout.write(piece);
        answer += piece;
      }
      this.#warnAtTheEnd();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      progress.clear();
      stdout.write("\n");
    }
    if (signal.aborted) stderr.write("(stopped)\n");
    return answer;
  }

  #warnAtTheEnd(): void {
    if (this.#lastStats?.stopReason !== "context") return;
    this.io.stderr.write(`\nThe context of ${count(this.model.contextLength)} tokens is full. Type /reset to start afresh.`);
  }
}
