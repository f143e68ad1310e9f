// Which repository a command is about: one that a cluster names, or everything from the command line.

import { readFile } from 'node:fs/promises'
import type { KubeObject } from '#shared/api/kinds.ts'
import { parseRepositoryParameters, type RepositorySettings } from '#shared/domain/repository-parameters.ts'
import { parseRepositoryKey } from '#shared/domain/repository-secrets.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { accessCluster, type ClusterAccess, type ClusterFlags, type Named, namedRepository } from './cluster-access.ts'

export type SourceFlags = ClusterFlags & {
  location?: string
  repository?: string
  /** Without a cluster: `key=value` as in repopsitoryParameters. */
  parameter?: string[]
  credentialsFile?: string
  passwordFile?: string
}

export type Source = Named & { readSecret: ClusterAccess['readSecret'] }

/** A cluster's location or repository; or everything from the command line, on a machine that has no cluster yet. */
export async function sourceOf(flags: SourceFlags): Promise<Source> {
  if (flags.parameter === undefined) {
    const access = accessCluster(flags)
    return { ...(await namedRepository(access, flags)), readSecret: access.readSecret }
  }
  if (flags.location !== undefined || flags.repository !== undefined) {
    throw usage('--parameter stands for a whole repository: leave --location and --repository away')
  }
  if (flags.passwordFile === undefined)
    throw usage('give --password-file: without a cluster there is no Secret to read')
  const parameters = Object.fromEntries(flags.parameter.map(keyAndValue))
  const { credentialSecret } = parseRepositoryParameters(parameters)
  const text = flags.credentialsFile === undefined ? undefined : await readFile(flags.credentialsFile, 'utf8')
  const readSecret = async (name: string) => {
    return name === credentialSecret.name && text !== undefined
      ? asSecret(name, credentialSecret.key ?? 'cloud', text)
      : undefined
  }
  return { parameters, repositoryId: undefined, readSecret }
}

function keyAndValue(text: string): [string, string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw usage(`--parameter ${JSON.stringify(text)}: write key=value`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}

function asSecret(name: string, key: string, value: string): KubeObject {
  const data = { [key]: Buffer.from(value).toString('base64') }
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, data }
}

/** From the file, else from the Secret that the repository's settings name. */
export async function passwordOf(
  flags: SourceFlags,
  settings: RepositorySettings,
  readSecret: Source['readSecret'],
): Promise<string> {
  if (flags.passwordFile !== undefined) return await textOf(flags.passwordFile)
  return parseRepositoryKey(await readSecret(settings.encryptionSecretName), settings.encryptionSecretName).password
}

/** Editors end a file with a newline, which is no part of a secret. */
export async function textOf(file: string): Promise<string> {
  const text = (await readFile(file, 'utf8')).replace(/\r?\n$/, '')
  if (text !== '') return text
  throw usage(`${file} is empty`)
}

export function usage(message: string): TerminalError {
  return new TerminalError('UsageInvalid', message)
}
