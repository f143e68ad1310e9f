// Starts instances of functions from their bundles, each with the rights of its own ServiceAccount and nothing else.

import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Api } from '../kubernetes/api.ts'
import { writeKubeconfig } from '../kubernetes/kubeconfig.ts'
import type { Ports } from '../process/ports.ts'
import { PROJECT } from '../process/tools.ts'
import { type Addresses, localAddresses, resolveEnv } from './function-env.ts'
import type { FunctionSpec } from './function-spec.ts'
import { Instance } from './instance.ts'

type LauncherOptions = {
  api: Api
  /** Address of the API server for functions and event sources. */
  server: string
  folder: string
  logFolder: string
  leash: string
  ports: Ports
  bundles: string
  nodeName: string
  podAccess: boolean
  addresses: () => Addresses
  /** Variables that the environment itself sets; they override the manifest. */
  envOf: (spec: FunctionSpec) => Record<string, string>
}

const TOKEN_SECONDS = 24 * 3600
const NODE = path.join(PROJECT, 'node_modules/.bin/node')

export class Launcher {
  private readonly options: LauncherOptions

  constructor(options: LauncherOptions) {
    this.options = options
  }

  async start(spec: FunctionSpec, index: number): Promise<Instance> {
    const { api, folder, logFolder, leash, ports, bundles, nodeName, envOf, addresses } = this.options
    const bundle = path.join(bundles, spec.bundle)
    if (!existsSync(bundle)) throw new Error(`${bundle} does not exist; run: make build`)
    const pod = `${spec.name}-00001-${index}`
    const home = path.join(folder, 'functions', pod)
    const scratch = path.join(home, 'tmp')
    await mkdir(scratch, { recursive: true })
    const port = await ports.take()
    const facts = { pod, port, node: nodeName, mountFolder: path.join(home, 'mounts') }
    const resolved = localAddresses(await resolveEnv(api, spec, facts), addresses())
    const env = { ...resolved, HOME: home, TMPDIR: scratch, ...(await this.access(spec)), ...envOf(spec) }
    const { readinessPath } = spec
    return await Instance.start({
      name: pod,
      leash,
      command: [NODE, bundle],
      env,
      port,
      logFolder,
      folder: home,
      readinessPath,
    })
  }

  /** A kubeconfig with a token of the ServiceAccount, for programs that are not functions: the event sources. */
  async kubeconfigOf(namespace: string, serviceAccount: string): Promise<string> {
    const { api, folder, server } = this.options
    const file = path.join(folder, 'access', `${namespace}-${serviceAccount}.kubeconfig`)
    await mkdir(path.dirname(file), { recursive: true })
    const { caPem } = api.options
    const token = await this.token(namespace, serviceAccount)
    await writeKubeconfig(file, { server, caPem, token, user: serviceAccount, namespace })
    return file
  }

  private async access(spec: FunctionSpec): Promise<Record<string, string>> {
    if (!this.options.podAccess) return { KUBECONFIG: await this.kubeconfigOf(spec.namespace, spec.serviceAccount) }
    const { server } = this.options
    const { caPem } = this.options.api.options
    const place = path.join(this.options.folder, 'access', `${spec.namespace}-${spec.serviceAccount}`)
    await mkdir(place, { recursive: true })
    await writeFile(path.join(place, 'token'), await this.token(spec.namespace, spec.serviceAccount), { mode: 0o600 })
    await writeFile(path.join(place, 'ca.crt'), caPem)
    await writeFile(path.join(place, 'namespace'), spec.namespace)
    const { hostname, port } = new URL(server)
    return {
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      DORMOUSE_SERVICE_ACCOUNT_DIR: place,
    }
  }

  private async token(namespace: string, name: string): Promise<string> {
    const ref = { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name }
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: TOKEN_SECONDS },
    }
    return (await this.options.api.createSubresource(ref, 'token', body))['status'].token
  }
}
