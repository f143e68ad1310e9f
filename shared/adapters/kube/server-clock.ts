// The API server's clock, as its answers tell it (RFC 9110 §6.6.1, to a second), carried on by this process's own monotonic one.

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
