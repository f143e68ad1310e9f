// A stand-in for go-plugin's client as Velero configures it. It is strict where Velero would panic, hang or misread. It starts the plugin,
// reads the handshake, speaks plaintext HTTP/2, and keeps every line of stdout and stderr. It has its own tables of the messages and
// its own codec (that of Kubernetes' messages), so that a wrong field number of the host cannot agree with itself.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js'
import * as assert from 'uvu/assert'
import { decodeMessage, encodeMessage, type MessageType, type MessageValue } from '#shared/domain/protobuf.ts'

export const PROGRAM = new URL('./fixtures/tiny-plugin.ts', import.meta.url).pathname
/** Velero waits for 60 s. */
const HANDSHAKE_LIMIT_MS = 20_000
/** stderr and the socket are separate pipes: a line may arrive so much later than the answer. */
const LINE_LIMIT_MS = 5000

export type PluginOptions = {
  env?: Record<string, string>
  args?: string[]
  /** What to run, before the arguments; by default the small plugin in this folder. */
  command?: readonly string[]
}
type Ended = { code: number | null; signal: NodeJS.Signals | null; lines: string[]; stderr: string[] }

/** Runs it to its end. */
export async function runPlugin(options: PluginOptions = {}): Promise<Ended> {
  const { child, stdout, stderr, closed } = start(options)
  await closed
  return { code: child.exitCode, signal: child.signalCode, lines: stdout, stderr }
}

function start({ env, args = [], command = [process.execPath, PROGRAM] }: PluginOptions) {
  const [program = '', ...before] = command
  const child = spawn(program, [...before, ...args], {
    env: { PATH: process.env['PATH'], VELERO_PLUGIN: 'hello', PLUGIN_PROTOCOL_VERSIONS: '2', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout: string[] = []
  const stderr: string[] = []
  createInterface(child.stdout).on('line', (line) => stdout.push(line))
  createInterface(child.stderr).on('line', (line) => stderr.push(line))
  return { child, stdout, stderr, closed: once(child, 'close') }
}

/** The test file keeps it, so that a failed test leaves no process. */
const running = new Set<ChildProcess>()

export function killLeftPlugins(): void {
  for (const child of running) child.kill('SIGKILL')
}

export async function startPlugin(options: PluginOptions = {}): Promise<Plugin> {
  const { child, stdout, stderr, closed } = start(options)
  running.add(child)
  const limit = AbortSignal.timeout(HANDSHAKE_LIMIT_MS)
  while (stdout.length === 0) {
    assert.is(child.exitCode, null, `it ended before the handshake: ${stderr.join('\n')}`)
    limit.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return new Plugin(child, stdout, stderr, closed, readHandshake(stdout[0] ?? ''))
}

type Handshake = { network: string; address: string }

/** Six fields; the sixth, a certificate, is empty. */
function readHandshake(line: string): Handshake {
  const fields = line.split('|')
  assert.is(fields.length, 6, line)
  const [core, app, network = '', address = '', protocol, certificate] = fields
  assert.equal([core, app, protocol, certificate], ['1', '2', 'grpc', ''])
  assert.ok(network === 'unix' || network === 'tcp', line)
  return { network, address }
}

export class Plugin {
  readonly child: ChildProcess
  readonly stdout: string[]
  readonly stderr: string[]
  readonly handshake: Handshake
  readonly #closed: Promise<unknown>
  readonly #client: Client

  constructor(child: ChildProcess, stdout: string[], stderr: string[], closed: Promise<unknown>, handshake: Handshake) {
    this.child = child
    this.stdout = stdout
    this.stderr = stderr
    this.handshake = handshake
    this.#closed = closed
    const { network, address } = handshake
    // The path as the plugin sees it, which may have another root folder.
    const place = network === 'unix' ? `unix:/proc/${child.pid}/root${address}` : address
    this.#client = new Client(place, credentials.createInsecure(), {
      'grpc.default_authority': 'unused', // as go-plugin dials
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
    })
  }

  call(path: string, request: MessageValue): Promise<MessageValue> {
    const { asked } = methodOf(path)
    return this.callBytes(path, Buffer.from(encodeMessage(asked, request)))
  }

  /** Sends bytes that need not be a message. */
  callBytes(path: string, request: Buffer): Promise<MessageValue> {
    const { answered } = methodOf(path)
    const { promise, resolve, reject } = Promise.withResolvers<MessageValue>()
    this.#client.makeUnaryRequest(
      path,
      (bytes: Buffer) => bytes,
      (bytes) => asGoReads(answered, decodeMessage(answered, bytes)),
      request,
      (error, value) => (error === null ? resolve(value ?? {}) : reject(error)),
    )
    return promise
  }

  /** Opens the two streams that go-plugin opens at its start; resolves with the code that ended them. */
  openStream(path: '/plugin.GRPCStdio/StreamStdio' | '/plugin.GRPCBroker/StartStream') {
    const asIs = (bytes: Buffer) => bytes
    const stream =
      path === '/plugin.GRPCBroker/StartStream'
        ? this.#client.makeBidiStreamRequest(path, asIs, asIs)
        : this.#client.makeServerStreamRequest(path, asIs, asIs, Buffer.alloc(0))
    const { promise: ended, resolve } = Promise.withResolvers<number>()
    stream.on('error', () => undefined) // the status says the same
    stream.on('status', ({ code }: { code: number }) => resolve(code))
    stream.resume()
    return { ended, cancel: () => stream.cancel() }
  }

  /** Sends Shutdown and waits for the end of the process; returns how long that took. */
  async shutdown(): Promise<{ code: number | null; tookMs: number }> {
    const startMs = performance.now()
    await this.call('/plugin.GRPCController/Shutdown', {})
    await this.end()
    return { code: this.child.exitCode, tookMs: performance.now() - startMs }
  }

  /** Resolves when the process has ended and its output is read. */
  async end(): Promise<void> {
    await this.#closed
    this.#client.close()
    running.delete(this.child)
  }

  /** The first line for which `matches` is true, once it has been read. */
  async line(matches: (line: LogLine) => boolean): Promise<LogLine> {
    const limit = AbortSignal.timeout(LINE_LIMIT_MS)
    for (;;) {
      const found = this.log().find(matches)
      if (found !== undefined) return found
      limit.throwIfAborted()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** All lines so far; a line that Velero would misread fails the test. */
  log(): LogLine[] {
    return this.stderr.map(readLogLine)
  }
}

type LogLine = Record<string, string>

const LINE_BYTES = 64 * 1024
const GO_HCLOG_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/

/** As go-plugin parses a line, and logrus takes it. */
export function readLogLine(line: string): LogLine {
  assert.ok(Buffer.byteLength(line) + 1 <= LINE_BYTES, `a line of ${Buffer.byteLength(line)} bytes`)
  const entry: unknown = JSON.parse(line)
  assert.ok(typeof entry === 'object' && entry !== null && !Array.isArray(entry), line)
  const fields = entry as LogLine
  for (const [key, value] of Object.entries(fields)) assert.type(value, 'string', `${key} in ${line.slice(0, 300)}`)
  assert.ok(['trace', 'debug', 'info', 'warn', 'error'].includes(fields['@level'] ?? ''), line)
  assert.type(fields['@message'], 'string')
  assert.match(fields['@timestamp'] ?? '', GO_HCLOG_TIME)
  assert.type(fields['logSource'], 'string')
  for (const key of ['time', 'timestamp', 'level']) assert.not.ok(key in fields, `Velero drops ${key}`)
  return fields
}

/** The parts of an error that reach Velero: status, message, and the stack of the details. */
export function readError(thrown: unknown): { code: number; details: string; frames: MessageValue[] } {
  const { code, details, metadata } = thrown as ServiceError & { metadata: Metadata }
  const [bytes] = metadata.get('grpc-status-details-bin')
  assert.ok(Buffer.isBuffer(bytes), `no details with: ${details}`)
  const status = asGoReads(STATUS, decodeMessage(STATUS, bytes as Buffer))
  assert.equal([status['code'], status['message']], [code, details], 'the details repeat the status')
  const [any, ...others] = status['details'] as MessageValue[]
  assert.equal(others, [])
  assert.is(any?.['type_url'], 'type.googleapis.com/generated.Stack')
  const stack = any?.['value'] as MessageValue
  return { code, details, frames: stack['frames'] as MessageValue[] }
}

/** A field that was not sent has its zero value, but a message that was not sent is undefined: in Go it is a nil pointer. */
function asGoReads(type: MessageType, value: MessageValue): MessageValue {
  const fields = Object.values(type).map(({ name, type: kind, repeated }) => {
    const sent = value[name]
    const inner = typeof kind === 'object' && 'message' in kind ? kind.message : undefined
    if (repeated === true) {
      const all = (sent ?? []) as MessageValue[]
      return [name, inner === undefined ? all : all.map((each) => asGoReads(inner, each))]
    }
    if (inner !== undefined) return [name, sent === undefined ? undefined : asGoReads(inner, sent as MessageValue)]
    return [name, sent ?? { string: '', int64: 0, bool: false }[kind as 'string' | 'int64' | 'bool']]
  })
  return Object.fromEntries(fields)
}

const text = (name: string) => ({ name, type: 'string' }) as const
const int = (name: string) => ({ name, type: 'int64' }) as const
const bool = (name: string) => ({ name, type: 'bool' }) as const
const one = (name: string, message: MessageType) => ({ name, type: { message } }) as const
const many = (name: string, message: MessageType) => ({ ...one(name, message), repeated: true }) as const
const texts = (name: string) => ({ ...text(name), repeated: true }) as const

const EMPTY: MessageType = {}
const TIMESTAMP: MessageType = { 1: int('seconds'), 2: int('nanos') }
const IDENTIFIER: MessageType = { 1: text('group'), 2: text('resource'), 3: text('namespace'), 4: text('name') }
const SELECTOR: MessageType = {
  1: texts('includedNamespaces'),
  2: texts('excludedNamespaces'),
  3: texts('includedResources'),
  4: texts('excludedResources'),
  5: text('selector'),
}
const PROGRESS: MessageType = {
  1: bool('completed'),
  2: text('err'),
  3: int('nCompleted'),
  4: int('nTotal'),
  5: text('operationUnits'),
  6: text('description'),
  7: one('started', TIMESTAMP),
  8: one('updated', TIMESTAMP),
}
const STACK: MessageType = { 1: many('frames', { 1: text('file'), 2: int('line'), 3: text('function') }) }
const STATUS: MessageType = {
  1: int('code'),
  2: text('message'),
  3: many('details', { 1: text('type_url'), 2: one('value', STACK) }),
}
const PLUGIN: MessageType = { 1: text('plugin') }
const OF_SNAPSHOT: MessageType = { 1: text('plugin'), 2: text('snapshotID') }
/** `bytes` and `string` are the same on the wire, and what Velero sends as bytes is JSON. */
const OF_OPERATION = (run: string): MessageType => ({ 1: text('plugin'), 2: text('operationID'), 3: text(run) })
const OF_ITEM = (run: string): MessageType => ({ 1: text('plugin'), 2: text('item'), 3: text(run) })
const SELECTED: MessageType = { 1: one('ResourceSelector', SELECTOR) }
const PROGRESSED: MessageType = { 1: one('progress', PROGRESS) }

function methodOf(path: string): { asked: MessageType; answered: MessageType } {
  const method = METHODS[path]
  if (method === undefined) throw new Error(`no such method: ${path}`)
  return method
}

export const METHODS: Record<string, { asked: MessageType; answered: MessageType }> = {
  '/generated.PluginLister/ListPlugins': {
    asked: EMPTY,
    answered: { 1: many('plugins', { 1: text('command'), 2: text('kind'), 3: text('name') }) },
  },
  '/generated.VolumeSnapshotter/Init': { asked: PLUGIN, answered: EMPTY },
  '/generated.VolumeSnapshotter/GetVolumeID': { asked: PLUGIN, answered: { 1: text('volumeID') } },
  '/generated.VolumeSnapshotter/CreateVolumeFromSnapshot': { asked: OF_SNAPSHOT, answered: EMPTY },
  '/generated.VolumeSnapshotter/DeleteSnapshot': { asked: OF_SNAPSHOT, answered: EMPTY },
  '/v2.BackupItemAction/AppliesTo': { asked: PLUGIN, answered: SELECTED },
  '/v2.BackupItemAction/Execute': {
    asked: OF_ITEM('backup'),
    answered: {
      1: text('item'),
      2: many('additionalItems', IDENTIFIER),
      3: text('operationID'),
      4: many('postOperationItems', IDENTIFIER),
    },
  },
  '/v2.BackupItemAction/Progress': { asked: OF_OPERATION('backup'), answered: PROGRESSED },
  '/v2.BackupItemAction/Cancel': { asked: OF_OPERATION('backup'), answered: EMPTY },
  '/v2.RestoreItemAction/AppliesTo': { asked: PLUGIN, answered: SELECTED },
  '/v2.RestoreItemAction/Execute': {
    asked: { 1: text('plugin'), 2: text('item'), 3: text('restore'), 4: text('itemFromBackup') },
    answered: {
      1: text('item'),
      2: many('additionalItems', IDENTIFIER),
      3: bool('skipRestore'),
      4: text('operationID'),
      5: bool('waitForAdditionalItems'),
      6: one('additionalItemsReadyTimeout', TIMESTAMP),
    },
  },
  '/v2.RestoreItemAction/Progress': { asked: OF_OPERATION('restore'), answered: PROGRESSED },
  '/v2.RestoreItemAction/Cancel': { asked: OF_OPERATION('restore'), answered: EMPTY },
  '/v2.RestoreItemAction/AreAdditionalItemsReady': {
    asked: { 1: text('plugin'), 2: text('restore'), 3: many('additionalItems', IDENTIFIER) },
    answered: { 1: bool('ready') },
  },
  '/generated.DeleteItemAction/AppliesTo': { asked: PLUGIN, answered: SELECTED },
  '/generated.DeleteItemAction/Execute': { asked: OF_ITEM('backup'), answered: EMPTY },
  '/grpc.health.v1.Health/Check': { asked: { 1: text('service') }, answered: { 1: int('status') } },
  '/plugin.GRPCController/Shutdown': { asked: EMPTY, answered: EMPTY },
}
