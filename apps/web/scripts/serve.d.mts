export interface ServeOptions {
  readonly port?: number;
  readonly host?: string;
  readonly folder?: string;
}
export function serve(options: ServeOptions): Promise<{ readonly url: string; close(): Promise<void> }>;
export function explain(error: unknown, options: ServeOptions): string;
