// What tests need of the VDDK stand-in: build it, lay out disks, run a child process that works on them, read its trace.

import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { ChildPlan, ChildReport } from './child.ts'

const HERE = dirname(fileURLToPath(import.meta.url))

export const CONNECTION = {
  server: 'vcenter.example',
  port: 443,
  thumbprintSha1: 'AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD',
  user: 'backup@vsphere.local',
  password: 'correct horse',
}
export const DATASTORE = 'datastore-59'

/** Builds into `outDir` (quick when it is built already) and returns what DORMOUSE_VDDK_DIR has to name. */
export function buildVddkStandIn(outDir: string): string {
  execFileSync('sh', [join(HERE, 'build.sh'), outDir], { stdio: ['ignore', 'inherit', 'inherit'] })
  return outDir
}

/** Parts of a disk that hold data; the rest is a hole. */
type DiskPart = { offsetBytes: number; bytes: Uint8Array }

/** A folder with one datastore. */
export class DiskFolder {
  readonly root: string
  readonly tracePath: string
  readonly faultsPath: string

  constructor(root: string) {
    this.root = root
    this.tracePath = join(root, 'trace')
    this.faultsPath = join(root, 'faults')
    mkdirSync(this.#fcd(), { recursive: true })
  }

  addDisk(id: string, capacityBytes: number, parts: DiskPart[] = []): void {
    writeFileSync(
      join(this.#fcd(), `${id}.vmdk`),
      `# Disk DescriptorFile\nRW ${capacityBytes / SECTOR_BYTES} VMFS "${id}-flat.vmdk"\n`,
    )
    writeSparse(this.dataPath(id), parts)
  }

  addSnapshot(id: string, snapshotId: string, parts: DiskPart[]): void {
    writeSparse(this.dataPath(id, snapshotId), parts)
  }

  dataPath(id: string, snapshotId?: string): string {
    return join(this.#fcd(), snapshotId === undefined ? `${id}-flat.vmdk` : `${id}-${snapshotId}-snap.vmdk`)
  }

  /** As a process that died between PrepareForAccess and EndAccess would leave it. */
  leaveMark(id: string, identity: string): void {
    mkdirSync(join(this.root, '.vddk-prepared'), { recursive: true })
    symlinkSync(identity, this.#mark(id))
  }

  hasMark(id: string): boolean {
    return this.markOf(id) !== undefined
  }

  /** Who holds the disk. */
  markOf(id: string): string | undefined {
    try {
      return readlinkSync(this.#mark(id))
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw thrown
    }
  }

  /** The calls of the last child, as `Name code`, with their sizes. */
  trace(): TraceLine[] {
    return existsSync(this.tracePath) ? readFileSync(this.tracePath, 'utf8').trimEnd().split('\n').map(parseTrace) : []
  }

  environment(): Record<string, string> {
    const { server, port, thumbprintSha1, user, password } = CONNECTION
    return {
      FAKE_VDDK_ROOT: this.root,
      FAKE_VDDK_TRACE: this.tracePath,
      FAKE_VDDK_FAULTS: this.faultsPath,
      FAKE_VDDK_SERVER: server,
      FAKE_VDDK_PORT: String(port),
      FAKE_VDDK_THUMBPRINT: thumbprintSha1,
      FAKE_VDDK_USER: user,
      FAKE_VDDK_PASSWORD: password,
    }
  }

  /** Forgets trace and fault plan, and takes a new plan. */
  start(faults: string[]): void {
    rmSync(this.tracePath, { force: true })
    writeFileSync(this.faultsPath, `${faults.join('\n')}\n`)
  }

  #fcd(): string {
    return join(this.root, DATASTORE, 'fcd')
  }

  #mark(id: string): string {
    return join(this.root, '.vddk-prepared', `${DATASTORE}+${id}`)
  }
}

type TraceLine = { call: string; code: number; tid: number; offset: number; bytes: number; text: string }

function parseTrace(text: string): TraceLine {
  const value = (name: string): number => Number(new RegExp(` ${name}=(\\d+)`).exec(text)?.[1] ?? Number.NaN)
  const call = text.split(' ', 1)[0] ?? ''
  return { call, code: value('code'), tid: value('tid'), offset: value('offset'), bytes: value('bytes'), text }
}

function writeSparse(path: string, parts: DiskPart[]): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, 0)
  for (const { offsetBytes, bytes } of parts) writeSync(fd, bytes, 0, bytes.length, offsetBytes)
  closeSync(fd)
}

export type ChildResult = {
  report: ChildReport | undefined
  signal: NodeJS.Signals | null
  code: number | null
  stderr: string
}

/** Far longer than any plan takes: a child that hangs is killed and fails its own test. */
const CHILD_LIMIT_MS = 40_000

/** Runs child.ts with the plan; `report` is missing when it died. */
export async function runChild(plan: ChildPlan, env: NodeJS.ProcessEnv): Promise<ChildResult> {
  const child = spawn(process.execPath, [join(HERE, 'child.ts')], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: CHILD_LIMIT_MS,
    killSignal: 'SIGKILL',
  })
  child.stdin.end(JSON.stringify(plan))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const { promise, resolve } = Promise.withResolvers<[number | null, NodeJS.Signals | null]>()
  child.on('close', (code, signal) => resolve([code, signal]))
  const [code, signal] = await promise
  const report = stdout === '' ? undefined : (JSON.parse(stdout) as ChildReport)
  return { report, signal, code, stderr }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Bytes that differ at every place and repeat for the same seed. */
export function pattern(lengthBytes: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(lengthBytes)
  let state = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}
