// The vCenter simulator (test/tools/vcenter), and its control interface for tests.

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Authority } from '../kubernetes/certificates.ts'
import { request } from '../kubernetes/http.ts'
import { Program } from '../process/child.ts'
import type { Ports } from '../process/ports.ts'

type VcenterOptions = {
  folder: string
  logFolder: string
  leash: string
  program: string
  ports: Ports
  authority: Authority
  clusterId: string
}
type FcdSnapshotState = { id: string; description: string; createTime: string; changeId?: string; path: string }
type FcdState = {
  id: string
  name: string
  capacityBytes: number
  datastore: string
  /** The flat file with the current content of the disk. */
  path: string
  cbt: boolean
  metadata: Record<string, string>
  snapshots: FcdSnapshotState[]
}
export type VcenterState = {
  fcds: FcdState[]
  datastores: { id: string; name: string }[]
  sessions: number
  /** Counts by SOAP method. */
  calls: Record<string, number>
}
type NewDisk = { name: string; capacityBytes: number; cbt?: boolean; datastore?: string }
/** See test/tools/README.md; exactly one of the three faults is set. */
type VcenterFault = {
  method: string
  fault?: string
  taskFault?: string
  volumeFault?: string
  times?: number
  after?: number
}

type Ready = { url: string; control: string; thumbprintSha1: string; dataRoot: string }

export class Vcenter {
  readonly host = '127.0.0.1'
  readonly user = 'administrator@vsphere.local'
  readonly port: number
  /** The address that users are told. */
  shownPort: number
  password = randomBytes(12).toString('hex')
  private readonly options: VcenterOptions
  private server: Program | undefined
  private ready: Ready | undefined

  private constructor(options: VcenterOptions, port: number) {
    this.options = options
    this.port = port
    this.shownPort = port
  }

  static async start(options: VcenterOptions): Promise<Vcenter> {
    const vcenter = new Vcenter(options, await options.ports.take())
    const { folder, authority, leash, program, logFolder } = options
    await mkdir(folder, { recursive: true })
    const { certPem, keyPem } = authority.serverCertificate([vcenter.host, 'localhost'])
    const [cert, key] = [path.join(folder, 'vcenter.crt'), path.join(folder, 'vcenter.key')]
    await Promise.all([writeFile(cert, certPem), writeFile(key, keyPem, { mode: 0o600 })])
    const listen = `${vcenter.host}:${vcenter.port}`
    const data = path.join(folder, 'data')
    vcenter.server = await Program.start({
      name: 'vcenter',
      leash,
      command: [program, '-listen', listen, '-data', data, '-tls-cert', cert, '-tls-key', key],
      logFolder,
      env: { VCENTER_USER: vcenter.user, VCENTER_PASSWORD: vcenter.password },
    })
    await vcenter.server.ready(async () => await vcenter.readReadyLine())
    return vcenter
  }

  get dataRoot(): string {
    return this.facts.dataRoot
  }

  get thumbprintSha1(): string {
    return this.facts.thumbprintSha1
  }

  get url(): string {
    return `https://${this.host}:${this.port}`
  }

  /** File of its certificate (`.crt`) and key (`.key`). */
  get certificate(): string {
    return path.join(this.options.folder, 'vcenter')
  }

  /** Text for the Secret with the vSphere configuration, of another cluster too; the certificate is verified by its authority. */
  configText(clusterId = this.options.clusterId): string {
    const ca = Buffer.from(this.options.authority.certPem).toString('base64')
    return [
      '[Global]',
      `cluster-id = "${clusterId}"`,
      '',
      `[VirtualCenter "${this.host}"]`,
      `user = "${this.user}"`,
      `password = "${this.password}"`,
      `port = "${this.shownPort}"`,
      'datacenters = "DC0"',
      `ca-data = "${ca}"`,
      '',
    ].join('\n')
  }

  async state(): Promise<VcenterState> {
    return await this.control('GET', '/state')
  }

  async createDisk(disk: NewDisk): Promise<FcdState> {
    return await this.control('POST', '/disks', disk)
  }

  /** Removes the disk with its snapshots, as if somebody did it in vCenter. A disk that does not exist is ignored. */
  async deleteDisk(fcdId: string): Promise<void> {
    const { fcds } = await this.state()
    if (fcds.some((disk) => disk.id === fcdId)) await this.control('DELETE', `/disks/${fcdId}`)
  }

  async disk(fcdId: string): Promise<FcdState | undefined> {
    return (await this.state()).fcds.find((disk) => disk.id === fcdId)
  }

  async addFault(fault: VcenterFault): Promise<void> {
    await this.control('POST', '/faults', fault)
  }

  async clearFaults(): Promise<void> {
    await this.control('DELETE', '/faults')
  }

  /** How long a method's answer, or the task that it starts, takes; 0 ends the delay. */
  async delay(method: string, ms: number): Promise<void> {
    await this.control('POST', '/delays', { method, ms })
  }

  async expireSessions(): Promise<void> {
    await this.control('POST', '/sessions/expire')
  }

  /** Changes the password in vCenter alone; the Secret keeps the old one until a test writes `configText()` into it. */
  async changePassword(password: string): Promise<void> {
    await this.control('POST', '/password', { password })
    this.password = password
  }

  async stop(): Promise<void> {
    await this.server?.stop(3000)
  }

  private async control<T>(method: string, place: string, body?: object): Promise<T> {
    const text = body === undefined ? {} : { body: JSON.stringify(body) }
    const answer = await request(`${this.facts.control}${place}`, { method, ...text })
    if (answer.status >= 300) throw new Error(`vCenter simulator: ${method} ${place}: ${answer.status} ${answer.text}`)
    return JSON.parse(answer.text) as T
  }

  private get facts(): Ready {
    if (this.ready === undefined) throw new Error('the vCenter simulator is not up')
    return this.ready
  }

  // Its first line on stdout, and so in the log, is JSON with all addresses.
  private async readReadyLine(): Promise<boolean> {
    const log = await readFile(this.server!.logFile, 'utf8')
    const line = log.split('\n').find((one) => one.startsWith('{') && one.endsWith('}'))
    if (line !== undefined) this.ready = JSON.parse(line) as Ready
    return line !== undefined
  }
}
