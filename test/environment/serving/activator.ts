// Stands in for Knative's activator and queue-proxy: holds a request until its function runs, enforces the time limit, counts.
// A function's address is `<url>/<step or name of the Knative Service>`; the rest of the path reaches the function.

import http from 'node:http'
import type { Known } from '../faults/callers.ts'
import type { FunctionSpec } from './function-spec.ts'
import type { Instance } from './instance.ts'
import { type FunctionCounts, QueueFull, ScaledFunction, type StartInstance } from './scaled-function.ts'

type ActivatorOptions = {
  specs: FunctionSpec[]
  startInstance: StartInstance
  /** An instance that had no request for so long is stopped. */
  idleMs: number
  /** How long a function may take to end when the environment stops. */
  stopGraceMs: number
}

type Reply = { status: number; text: string; contentType: string | undefined }

const IDLE_CHECK_MS = 100

export class Activator {
  url = ''
  private readonly options: ActivatorOptions
  private readonly functions: Map<string, ScaledFunction>
  private readonly server = http.createServer((incoming, response) => void this.receive(incoming, response))
  private timer: NodeJS.Timeout | undefined

  constructor(options: ActivatorOptions) {
    this.options = options
    this.functions = new Map(options.specs.map((spec) => [spec.step, new ScaledFunction(spec, options.startInstance)]))
    // By default Node ends a request after five minutes; here only the function's own limit counts.
    this.server.requestTimeout = 0
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    const address = this.server.address()
    this.url = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : ''
    this.timer = setInterval(() => {
      for (const one of this.functions.values()) one.stopIdle(this.options.idleMs)
    }, IDLE_CHECK_MS)
  }

  urlOf(name: string): string {
    this.functionCalled(name)
    return `${this.url}/${name}`
  }

  counts(): Record<string, FunctionCounts> {
    return Object.fromEntries([...this.functions].map(([name, one]) => [name, structuredClone(one.counts)]))
  }

  instancesOf(name: string): Instance[] {
    return [...this.functionCalled(name).instances]
  }

  programs(): Known[] {
    const all = [...this.functions].flatMap(([label, one]) => one.instances.map(({ program }) => ({ label, program })))
    return all.map(({ label, program }) => ({ label, leashPid: program.leashPid }))
  }

  names(): string[] {
    return [...this.functions.keys()]
  }

  /** Sends SIGTERM to every instance of the function, and resolves when all have ended; the next request starts a new one. */
  async scaleToZero(name: string): Promise<void> {
    const one = this.functionCalled(name)
    await one.stopAll(one.spec.timeoutMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.timer)
    await Promise.all([...this.functions.values()].map((one) => one.close(this.options.stopGraceMs)))
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private functionCalled(name: string): ScaledFunction {
    const found = this.find(name)
    if (found !== undefined) return found
    throw new Error(`no function ${name}; there are: ${this.names().join(', ')}`)
  }

  /** By its step (`upload`) or by the name of its Knative Service. */
  private find(name: string): ScaledFunction | undefined {
    return this.functions.get(name) ?? this.functions.values().find((one) => one.spec.name === name)
  }

  private async receive(incoming: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const [, name = '', ...rest] = (incoming.url ?? '/').split('/')
    const target = this.find(name)
    if (target === undefined) {
      response.writeHead(404).end()
      return
    }
    target.counts.requests++
    const { status, text, contentType } = await this.reply(target, incoming, response, `/${rest.join('/')}`)
    target.counts.byStatus[status] = (target.counts.byStatus[status] ?? 0) + 1
    if (response.destroyed) return
    response.writeHead(status, contentType === undefined ? {} : { 'content-type': contentType }).end(text)
  }

  // The clock starts before there is an instance: cold start and queueing count, as in Knative's activator. When the time is up, only the
  // connection ends; the process goes on.
  private async reply(
    target: ScaledFunction,
    incoming: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ): Promise<Reply> {
    const limit = AbortSignal.timeout(target.spec.timeoutMs)
    const senderGone = new AbortController()
    response.once('close', () => senderGone.abort(new Error('the sender went away')))
    const signal = AbortSignal.any([limit, senderGone.signal])
    try {
      const body = await bodyOf(incoming)
      const instance = await target.acquire(signal)
      try {
        const answer = await instance.serve(incoming, path, body, signal)
        return { status: answer.status, text: answer.text, contentType: answer.headers['content-type'] }
      } finally {
        target.release(instance)
      }
    } catch (error) {
      if (limit.aborted) return plain(504, 'request timeout')
      return plain(error instanceof QueueFull ? 503 : 502, error instanceof Error ? error.message : String(error))
    }
  }
}

async function bodyOf(incoming: http.IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part)
  return Buffer.concat(parts)
}

function plain(status: number, text: string): Reply {
  return { status, text, contentType: 'text/plain' }
}
