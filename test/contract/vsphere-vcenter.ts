// Starts the vCenter stand-in (test/tools/vcenter) for one test file, and calls its control endpoint.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

type Ready = {
  url: string
  certFile: string
  thumbprintSha1: string
  thumbprintSha256: string
  user: string
  control: string
}

type VcenterState = {
  fcds: { id: string; path: string; snapshots: { id: string; description: string }[] }[]
  datastores: { id: string }[]
  sessions: number
  calls: Record<string, number>
  faults: { times: number }[]
}

export class TestVcenter {
  readonly ready: Ready
  readonly port: number
  readonly caPem: string
  readonly #child: ChildProcess
  password: string

  private constructor(child: ChildProcess, ready: Ready, password: string) {
    this.#child = child
    this.ready = ready
    this.password = password
    this.port = Number(new URL(ready.url).port)
    this.caPem = readFileSync(ready.certFile, 'utf8')
  }

  static async start(...flags: string[]): Promise<TestVcenter> {
    const build = fileURLToPath(new URL('../tools/build.sh', import.meta.url))
    const program = execFileSync(build, ['--path', 'vcenter'], { encoding: 'utf8' }).trim()
    const password = `S3cret <&> "${Math.random()}"`
    const child = spawn(program, ['-parent-pid', String(process.pid), ...flags], {
      env: { ...process.env, VCENTER_PASSWORD: password },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit').then(() => {
      throw new Error('the vCenter stand-in ended before it was ready')
    })
    const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), ended])
    ended.catch(() => undefined)
    return new TestVcenter(child, JSON.parse(line), password)
  }

  state(): Promise<VcenterState> {
    return this.#control('GET', '/state')
  }

  async createDisk(capacityBytes: number, cbt: boolean): Promise<string> {
    return (await this.#control('POST', '/disks', { name: 'a test disk', capacityBytes, cbt })).id
  }

  deleteDisk(fcdId: string): Promise<void> {
    return this.#control('DELETE', `/disks/${fcdId}`)
  }

  /** Writes as the guest would. */
  async write(fcdId: string, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    const disk = (await this.state()).fcds.find((each) => each.id === fcdId)
    const file = await open(disk?.path ?? '', 'r+')
    await file.write(bytes, 0, bytes.length, offsetBytes)
    await file.close()
  }

  /** Makes the method's next calls fail with that fault (or `Reset`, `LostAnswer`, `HTTP:503`). */
  fail(method: string, fault: string, times = 1): Promise<void> {
    return this.#control('POST', '/faults', { method, fault, times })
  }

  /** Makes the method's next tasks end with that fault. */
  failTask(method: string, taskFault: string, times = 1): Promise<void> {
    return this.#control('POST', '/faults', { method, taskFault, times })
  }

  delay(method: string, ms: number): Promise<void> {
    return this.#control('POST', '/delays', { method, ms })
  }

  async calm(): Promise<void> {
    await this.#control('DELETE', '/faults')
    await this.#control('DELETE', '/delays')
    await this.#control('DELETE', '/calls')
  }

  expireSessions(): Promise<void> {
    return this.#control('POST', '/sessions/expire')
  }

  async changePassword(password: string): Promise<void> {
    await this.#control('POST', '/password', { password })
    this.password = password
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }

  // biome-ignore lint/suspicious/noExplicitAny: the control endpoint's answers are this file's own business
  async #control(method: string, path: string, body?: object): Promise<any> {
    const answer = await fetch(`${this.ready.control}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text)
  }
}
