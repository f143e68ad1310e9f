// A whole Dormouse on loopback: real API server, event sources and S3; stand-ins for vCenter, VDDK, CSI, Broker and Serving.
// README.md says what is real. Several may run side by side; everything ends with the process that started it.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { KindName } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Cleanups } from './cleanups.ts'
import type { Adapters } from './eventing/adapters.ts'
import type { Pings } from './eventing/pings.ts'
import type { Router } from './eventing/router.ts'
import type { Faults } from './faults/faults.ts'
import { Group } from './group.ts'
import type { Api } from './kubernetes/api.ts'
import type { ControlPlane } from './kubernetes/control-plane.ts'
import { Recorder, type WaitResult, waitForObject } from './kubernetes/wait.ts'
import { complaints } from './logs.ts'
import type { EnvironmentOptions } from './options.ts'
import { MemorySampler } from './process/memory.ts'
import type { RepositoryKey } from './seed.ts'
import type { Activator } from './serving/activator.ts'
import { startParts } from './start.ts'
import type { CsiDriver } from './storage/csi.ts'
import { heldIn } from './storage/held.ts'
import type { BucketObject, S3Server } from './storage/s3.ts'
import type { Vcenter, VcenterState } from './storage/vcenter.ts'
import { createVolume, type NewVolume, type Volume } from './storage/volume.ts'
import type { VeleroServer } from './velero/server.ts'

const run = promisify(execFile)

export type Parts = {
  folder: string
  logFolder: string
  kubectlProgram: string
  controlPlane: ControlPlane
  s3: S3Server
  vcenter: Vcenter
  csi: CsiDriver
  router: Router
  activator: Activator
  pings: Pings
  adapters: Adapters
  repositoryKey: RepositoryKey
  /** Only with the option `faults`. */
  faults: Faults | undefined
  /** Only with the option `velero`. */
  velero: VeleroServer | undefined
  /** Trace of the VDDK stand-in's calls, and its fault plan (test/standins/vddk/README.md). */
  vddk: { traceFile: string; faultFile: string }
}

export async function startEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const { parts, cleanups } = await startParts(options)
  return new Environment(parts, cleanups)
}

export class Environment {
  readonly parts: Parts
  readonly api: Api
  readonly kubeconfig: string
  readonly s3: S3Server
  readonly vcenter: Vcenter
  readonly router: Router
  readonly activator: Activator
  readonly group: Group
  private readonly cleanups: Cleanups
  private readonly samplers: MemorySampler[] = []

  constructor(parts: Parts, cleanups: Cleanups) {
    this.parts = parts
    this.cleanups = cleanups
    this.api = parts.controlPlane.api
    this.kubeconfig = parts.controlPlane.kubeconfig
    this.s3 = parts.s3
    this.vcenter = parts.vcenter
    this.router = parts.router
    this.activator = parts.activator
    this.group = new Group(this.api)
  }

  /** Standard output of kubectl, run as the environment's admin; rejects with its standard error. */
  async kubectl(...args: string[]): Promise<string> {
    const command = ['--kubeconfig', this.kubeconfig, ...args]
    // kubectl's cache belongs to the environment, not to the folder in which the tests were started.
    const env = { ...process.env, KUBECACHEDIR: join(this.parts.folder, 'kubectl-cache') }
    return (await run(this.parts.kubectlProgram, command, { env, maxBuffer: 64 * 1024 * 1024 })).stdout
  }

  /** Standard output of Velero's command line, run as the environment's admin; rejects with its standard error. */
  async velero(...args: string[]): Promise<string> {
    if (this.parts.velero === undefined) throw new Error('there is no Velero here: the option `velero` brings it')
    return await this.parts.velero.cli(args)
  }

  async createNamespace(name: string): Promise<void> {
    await this.api.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
    await this.group.add(name)
  }

  /** Creates a PVC with its disk, provisioned and bound as in a cluster; makes the namespace if it is missing. */
  async createVolume(volume: NewVolume): Promise<Volume> {
    await this.createNamespace(volume.namespace)
    return await createVolume(this, volume)
  }

  /** Watches until `predicate` is true for the object, or for undefined when there is none. */
  async waitFor(
    kind: KindName,
    namespace: string | undefined,
    name: string,
    predicate: (object: LooseObject | undefined) => boolean,
    timeoutMs = 60_000,
  ): Promise<WaitResult> {
    const wanted = { kind, name, ...(namespace === undefined ? {} : { namespace }) }
    try {
      return await waitForObject(this.api, wanted, predicate, timeoutMs)
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await complaints(this.parts.logFolder)}`, { cause: error })
    }
  }

  /** Keeps every state of every object of a kind from now on; stop it with `stop()`. */
  async record(kind: KindName, namespace?: string): Promise<Recorder> {
    const recorder = await new Recorder(this.api, kind, namespace).start()
    this.cleanups.add('recorder', async () => recorder.stop())
    return recorder
  }

  async bucketObjects(prefix = ''): Promise<BucketObject[]> {
    return await this.s3.objects(prefix)
  }

  async vcenterState(): Promise<VcenterState> {
    return await this.vcenter.state()
  }

  /** Disks that a mover protects from migration, or protected when it died (marks of the VDDK stand-in). Disks that are gone do not count. */
  async heldDisks(): Promise<string[]> {
    const { fcds } = await this.vcenterState()
    const marks = await heldIn(this.vcenter.dataRoot)
    return fcds.map(({ id }) => id).filter((id) => marks.includes(id))
  }

  /** Requests that reached each function's address since the start, including those that found no free instance. */
  requestsPerFunction(): Record<string, number> {
    const counts = Object.entries(this.activator.counts())
    return Object.fromEntries(counts.map(([name, { requests }]) => [name, requests]))
  }

  /** The text of `/metrics` of each running instance of the function; an instance that has ended is not included. */
  async metricsOf(name: string): Promise<string[]> {
    return await Promise.all(this.activator.instancesOf(name).map((instance) => instance.metrics()))
  }

  /** Sends the signal to every instance of the function; returns how many there were. */
  killFunction(name: string, signal: NodeJS.Signals = 'SIGKILL'): number {
    const instances = this.activator.instancesOf(name)
    for (const instance of instances) instance.program.signal(signal)
    return instances.length
  }

  async startAdapters(): Promise<void> {
    await this.parts.adapters.start()
  }

  async stopAdapters(): Promise<void> {
    await this.parts.adapters.stop()
  }

  /** Makes one PingSource fire now, for instance the sweep's. */
  async ping(name: string): Promise<void> {
    await this.parts.pings.fire(name)
  }

  /** From now on, records the highest PSS of the process tree of any one instance of each function, children included. */
  sampleMemory(functions = this.activator.names(), everyMs = 100): MemorySampler {
    const pidsOf = (name: string) => this.activator.instancesOf(name).map((instance) => instance.program.leashPid)
    const sampler = new MemorySampler(() => new Map(functions.map((name) => [name, pidsOf(name)])), everyMs)
    this.samplers.push(sampler)
    return sampler
  }

  /** Ends every part, functions first, and removes the folder unless it is to be kept. A second call does nothing. */
  async stop(): Promise<void> {
    for (const sampler of this.samplers) sampler.stop()
    await this.cleanups.run()
  }
}
