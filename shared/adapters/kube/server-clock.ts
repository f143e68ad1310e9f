// The API server's clock, from the dates of its answers (RFC 9110 §6.6.1, to a second), advanced by this process's own monotonic clock.

type Noted = { serverMs: number; atMs: number }

export class ServerClock {
  #noted: Noted | undefined

  note(dateMs: number | undefined): void {
    if (dateMs !== undefined) this.#noted = { serverMs: dateMs, atMs: performance.now() }
  }

  nowMs(): number {
    if (this.#noted === undefined) return Date.now()
    return this.#noted.serverMs + (performance.now() - this.#noted.atMs)
  }
}
