// A real Velero server as a process. Its port 8080 is fixed, and event sources and other environments use it too, so the server
// runs in a network namespace of its own (process/own-network.c).

import { execFile } from 'node:child_process'
import { cp, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Known } from '../faults/callers.ts'
import type { Api } from '../kubernetes/api.ts'
import { VELERO_NAMESPACE, type VeleroOptions } from '../options.ts'
import { Program } from '../process/child.ts'
import { argumentsOf, descendants } from '../process/memory.ts'

const run = promisify(execFile)

type ServerOptions = VeleroOptions & {
  folder: string
  logFolder: string
  leash: string
  ownNetwork: string
  /** The server and command line, and the object store's plugin. The path is absolute: the server starts itself again for its own plugins. */
  programs: { velero: string; objectStore: string }
  api: Api
  /** The kubeconfig of the server, and that of the command line. */
  kubeconfigs: { server: string; admin: string }
  reach: string[]
}

const READY_MS = 60_000
const TYPE = { apiVersion: 'velero.io/v1', kind: 'ServerStatusRequest' }

/**
 * Periods are short for tests. Velero checks only every 10 s, and when a location changes, whether a validation is due; and only at its start
 * and then every minute whether a synchronization is due (`findBackups`). The port belongs to the network namespace: nothing outside sees it.
 */
const FLAGS: Record<string, string> = {
  'log-level': 'debug',
  'item-operation-sync-frequency': '1s',
  'store-validation-frequency': '5s',
  'backup-sync-period': '1s',
  'metrics-address': '127.0.0.1:8085',
  'profiler-address': '',
}

export class VeleroServer {
  readonly pluginFolder: string
  readonly logFile: string
  private readonly options: ServerOptions
  private lives = 0
  private server: Program | undefined

  constructor(options: ServerOptions) {
    this.options = options
    this.pluginFolder = path.join(options.folder, 'plugins')
    this.logFile = path.join(options.logFolder, 'velero.log')
  }

  /** Makes the folders of the server. */
  async prepare(): Promise<void> {
    const { programs, plugins = [] } = this.options
    await Promise.all([this.pluginFolder, this.temporary].map((folder) => mkdir(folder, { recursive: true })))
    for (const place of [programs.objectStore, ...plugins]) {
      await cp(place, path.join(this.pluginFolder, path.basename(place)), { recursive: true })
    }
  }

  /** Starts the server, also again after `down` and `stop`; resolves when its controllers work. */
  async up(): Promise<void> {
    const { leash, logFolder } = this.options
    this.server = await Program.start({ name: 'velero', leash, command: this.command(), logFolder, env: this.env() })
    const request = await this.askForStatus()
    await this.server.ready(
      async () => (await this.options.api.get(request))?.['status']?.phase === 'Processed',
      READY_MS,
    )
  }

  /** SIGKILL; its plugins die with it, as in a pod. */
  async down(): Promise<void> {
    await this.server?.kill()
  }

  /** SIGTERM, as when a pod is deleted. */
  async stop(): Promise<void> {
    await this.server?.stop()
  }

  /**
   * Restarts the server, which then reads its locations at once, and otherwise every minute. The locations have to be Available. The Backup
   * objects appear soon after this resolves.
   */
  async findBackups(): Promise<void> {
    await this.down()
    await this.up()
  }

  get running(): boolean {
    return this.server?.running === true
  }

  programs(): Known[] {
    return this.server === undefined ? [] : [{ label: 'velero', leashPid: this.server.leashPid }]
  }

  /** Processes of the plugin file with that name that run now: none most of the time, sometimes several. */
  pluginPids(name: string): number[] {
    const file = path.join(this.pluginFolder, name)
    const below = this.programs().flatMap(({ leashPid }) => descendants(leashPid))
    return below.filter((pid) => argumentsOf(pid).includes(file))
  }

  /** Standard output of the command line, run as the environment's admin; rejects with its standard error. */
  async cli(args: string[]): Promise<string> {
    const { programs, kubeconfigs, folder } = this.options
    const command = [...args, '--kubeconfig', kubeconfigs.admin, '--namespace', VELERO_NAMESPACE]
    // A HOME of its own: the user's may contain a configuration of the velero command.
    const env = { PATH: process.env['PATH'], HOME: folder }
    return (await run(programs.velero, command, { env, maxBuffer: 64 * 1024 * 1024 })).stdout
  }

  private get temporary(): string {
    return path.join(this.options.folder, 'tmp')
  }

  private command(): string[] {
    const { ownNetwork, programs, kubeconfigs, reach } = this.options
    const flags = {
      ...FLAGS,
      kubeconfig: kubeconfigs.server,
      namespace: VELERO_NAMESPACE,
      'plugin-dir': this.pluginFolder,
      ...this.options.flags,
    }
    const ports = new Set(reach.map((url) => new URL(url).port))
    // The subcommand comes first: the server starts plugins with what follows it.
    const server = ['server', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)]
    return [ownNetwork, [...ports].join(','), programs.velero, ...server]
  }

  /** The arguments of its Deployment; the others keep its files within the environment's folder. */
  private env(): Record<string, string> {
    return {
      VELERO_NAMESPACE,
      VELERO_SCRATCH_DIR: this.temporary,
      LD_LIBRARY_PATH: this.pluginFolder,
      KUBECONFIG: this.options.kubeconfigs.server,
      HOME: this.options.folder,
      TMPDIR: this.temporary,
      ...this.options.env,
    }
  }

  private async askForStatus() {
    const name = `environment-${++this.lives}`
    const request: LooseObject = { ...TYPE, metadata: { name, namespace: VELERO_NAMESPACE }, spec: {} }
    await this.options.api.apply(request)
    return { ...TYPE, namespace: VELERO_NAMESPACE, name }
  }
}
