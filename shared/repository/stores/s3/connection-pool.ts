// A bounded set of kept-alive connections to one address. Callers beyond the bound wait in order.

import { abortError, Connection, type Endpoint, failure } from './connection.ts'

export type PoolLimits = { maxConnections: number; connectTimeoutMs: number; maxIdleMs: number }

type Waiter = { wake(): void }

export class ConnectionPool {
  private readonly endpoint: Endpoint
  private readonly limits: PoolLimits
  private idle: Connection[] = []
  private readonly waiting: Waiter[] = []
  private inUse = 0

  constructor(endpoint: Endpoint, limits: PoolLimits) {
    this.endpoint = endpoint
    this.limits = limits
  }

  /** Runs `act` with a connection of its own. `fresh`: opens a new one, because an idle connection may be stale. */
  async use<T>(
    act: (connection: Connection, reused: boolean) => Promise<T>,
    signal?: AbortSignal,
    fresh = false,
  ): Promise<T> {
    await this.enter(signal)
    try {
      const idle = fresh ? undefined : this.takeIdle()
      const connection = idle ?? (await Connection.open(this.endpoint, this.limits.connectTimeoutMs, signal))
      try {
        return await act(connection, idle !== undefined)
      } finally {
        if (connection.usable) this.keep(connection)
        else connection.close(failure('ECONNRESET', 'the request did not come to its end'))
      }
    } finally {
      this.leave()
    }
  }

  close(): void {
    for (const connection of this.idle) connection.close(failure('ECONNRESET', 'the store was closed'))
    this.idle = []
  }

  private async enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) throw abortError(signal)
    if (this.inUse < this.limits.maxConnections) {
      this.inUse++
      return
    }
    // leave() hands the place to the next waiter, so a later caller cannot take it.
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = { wake: () => resolve(signal?.removeEventListener('abort', abort)) }
      const abort = () => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1)
        reject(abortError(signal))
      }
      this.waiting.push(waiter)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  private leave(): void {
    const next = this.waiting.shift()
    if (next === undefined) this.inUse--
    else next.wake()
  }

  /** Takes the connection that was used last: the others may run into the server's idle timeout. */
  private takeIdle(): Connection | undefined {
    for (let connection = this.idle.pop(); connection !== undefined; connection = this.idle.pop()) {
      if (connection.usable && performance.now() - connection.idleSinceMs < this.limits.maxIdleMs) return connection
      connection.close(failure('ECONNRESET', 'idle for too long'))
    }
    return undefined
  }

  private keep(connection: Connection): void {
    connection.idleSinceMs = performance.now()
    this.idle.push(connection)
  }
}
