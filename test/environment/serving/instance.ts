// One running process of a function: a pod without a container.

import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, request } from '../kubernetes/http.ts'
import { Program } from '../process/child.ts'
import { accepts } from '../process/ports.ts'

type InstanceOptions = {
  name: string
  leash: string
  command: string[]
  env: Record<string, string>
  port: number
  logFolder: string
  folder: string
  readinessPath: string | undefined
}

/** How often Knative's queue-proxy probes while a pod starts. */
const PROBE_MS = 10
const START_TIMEOUT_MS = 60_000

export class Instance {
  readonly program: Program
  readonly port: number
  /** Milliseconds from the start of the process until it accepted a connection. */
  readonly ready: Promise<number>
  /** Open requests, counted by the function's scaling. */
  inFlight = 0
  isReady = false
  stopping = false
  idleSinceMs = performance.now()
  private readonly agent = new http.Agent({ keepAlive: true })
  private readonly readinessPath: string | undefined

  private constructor(program: Program, options: InstanceOptions) {
    this.program = program
    this.port = options.port
    this.readinessPath = options.readinessPath
    this.ready = this.waitUntilReady()
    // A waiting request sees the failure; without one, the rejection must not be unhandled.
    this.ready.catch(() => {})
  }

  static async start(options: InstanceOptions): Promise<Instance> {
    const { name, leash, command, env, logFolder, folder } = options
    return new Instance(await Program.start({ name, leash, command, env, logFolder, folder }), options)
  }

  get usable(): boolean {
    return this.program.running && !this.stopping
  }

  /** Passes the request on; rejects when the process ends before its answer is complete. */
  async serve(incoming: http.IncomingMessage, path: string, body: Buffer, signal: AbortSignal): Promise<Answer> {
    const headers = Object.fromEntries(
      Object.entries(incoming.headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    )
    // The connection to the process and the connection to the sender are different ones.
    for (const hop of ['connection', 'host', 'keep-alive', 'transfer-encoding']) delete headers[hop]
    headers['content-length'] = String(body.length)
    const url = `http://127.0.0.1:${this.port}${path}`
    return await request(url, { method: incoming.method ?? 'POST', headers, body, agent: this.agent, signal })
  }

  async metrics(): Promise<string> {
    return (await request(`http://127.0.0.1:${this.port}/metrics`, { agent: this.agent })).text
  }

  async stop(graceMs: number): Promise<void> {
    this.stopping = true
    await this.program.stop(graceMs)
    this.agent.destroy()
  }

  private async waitUntilReady(): Promise<number> {
    const startMs = performance.now()
    while (!(await this.probe())) {
      const lateMs = performance.now() - startMs - START_TIMEOUT_MS
      if (!this.program.running || lateMs > 0) {
        throw new Error(`${this.program.name} did not become ready:\n${await this.program.logTail()}`)
      }
      await sleep(PROBE_MS)
    }
    this.isReady = true
    return performance.now() - startMs
  }

  private async probe(): Promise<boolean> {
    if (this.readinessPath === undefined) return await accepts(this.port)
    const url = `http://127.0.0.1:${this.port}${this.readinessPath}`
    const answer = await request(url, { agent: this.agent, signal: AbortSignal.timeout(1000) }).catch(() => undefined)
    return answer !== undefined && answer.status < 400
  }
}
