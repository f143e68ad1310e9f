// The command `dormouse`. Exit code 0: no problem; 1: a problem was found, or the command failed; 2: work is left for another run.

import { Command } from 'commander'
import { asError, DormouseError } from '#shared/kernel/errors.ts'
import type { DoctorFlags } from './doctor.ts'
import { exitCodeOf, type Finding, lineOf } from './finding.ts'
import { requireNode } from './node-version.ts'
import type { PruneFlags } from './prune.ts'
import type { OpenFlags } from './repository-open.ts'

const program = new Command('dormouse')
  .description('Backups of Kubernetes volumes on vSphere, done by functions that sleep until there is work')
  .showHelpAfterError()

function addClusterOptions(command: Command): Command {
  return command
    .option('--kubeconfig <file>', "the cluster to look at (else KUBECONFIG, a pod, or the user's own file)")
    .option('-n, --namespace <name>', "Velero's namespace (else DORMOUSE_VELERO_NAMESPACE, or velero)")
    .option('--json', 'machine-readable output')
}

addClusterOptions(program.command('doctor'))
  .description('look at everything that backup and restore need, and say what to mend')
  .option('--esxi-host <name...>', 'ESXi hosts to try port 902 of (else all that vCenter manages)')
  .option('--vddk-dir <folder>', 'where the VDDK was unpacked (else DORMOUSE_VDDK_DIR)')
  .addHelpText(
    'after',
    '\nRun it in a pod on a node with the VDDK to see ports, names and the VDDK as the functions do.',
  )
  .action(async (flags: DoctorFlags & { json?: true }) => {
    const { examine } = await import('./doctor.ts')
    const findings: Finding[] = []
    for await (const finding of examine(flags)) {
      findings.push(finding)
      if (flags.json !== true) console.log(lineOf(finding))
    }
    if (flags.json === true) console.log(JSON.stringify(findings, undefined, 2))
    process.exitCode = exitCodeOf(findings)
  })

const repository = program.command('repository').description('work with a repository in a bucket or in a folder')

function addRepositoryOptions(command: Command): Command {
  return addClusterOptions(command)
    .option('--location <name>', 'BackupStorageLocation that names the bucket (else "default")')
    .option('--repository <name>', 'BackupRepository that names the bucket or the folder')
    .option(
      '--parameter <key=value...>',
      "without a cluster: the repository's parameters (bucket, prefix, region, s3Url, …)",
    )
    .option('--credentials-file <file>', 'with --parameter: AWS credentials file')
    .option('--customer-key-file <file>', "with --parameter: the store's key for SSE-C, 32 bytes or their base64")
    .option('--folder <path>', 'without a cluster: the repository is in this folder')
}

addRepositoryOptions(repository.command('open'))
  .description(
    'let another password open the repository: before the one in the Secret is changed, or, with the recovery key, after its loss',
  )
  .option('--recovery-passphrase-file <file>', 'file with the recovery passphrase')
  .option('--recovery-key-file <file>', 'file with the private recovery key (PEM)')
  .option('--current-password-file <file>', 'file with a password that opens it now')
  .option('--password-file <file>', "file with the password to let in (else the Secret's)")
  .option('--close-others', 'remove the key slots of all other passwords; recovery keys stay')
  .option('--secret-differs', "with --close-others: keep another password than the Secret's")
  .addHelpText(
    'after',
    '\nTo change the password: run it with --password-file alone, while the Secret still holds the old one; then change the Secret; then run it with --close-others alone.',
  )
  .action(async (flags: OpenFlags & { json?: true }) => {
    const { openRepositoryCommand } = await import('./repository-open.ts')
    const opened = await openRepositoryCommand(flags)
    if (flags.json === true) {
      console.log(JSON.stringify(opened))
      return
    }
    const { repositoryId, location, slot, closed } = opened
    const done = slot === undefined ? 'the password opens it already' : `the password opens it now (${slot})`
    console.log(`repository ${repositoryId} in ${location}: ${done}`)
    for (const key of closed) console.log(`closed ${key}: its password opens the repository no more`)
  })

addRepositoryOptions(program.command('prune'))
  .description('delete what no backup in the repository names any more; safe beside running backups')
  .option('--password-file <file>', "file with a password that opens the repository (else the Secret's)")
  .option('--dry-run', 'show what would go, and write nothing')
  .option(
    '--exclusive',
    'for stores without conditional PUT: you vouch for it that no backup runs; unfinished uploads are given up',
  )
  .option('--session-idle-hours <n>', 'give up uploads that stored nothing for so long', '24')
  .addHelpText('after', '\nExit code 0: all is done; 2: something waits for running uploads, run it again; 1: failed.')
  .action(async (flags: PruneFlags & { json?: true }) => {
    const { EXIT_CODES, linesOf, pruneCommand } = await import('./prune.ts')
    const report = await pruneCommand(flags, (line) => (flags.json === true ? console.error(line) : console.log(line)))
    if (flags.json === true) console.log(JSON.stringify(report))
    else for (const line of linesOf(report, flags.dryRun === true)) console.log(line)
    process.exitCode = EXIT_CODES[report.state]
  })

try {
  requireNode(process.versions.node)
  await program.parseAsync()
} catch (thrown) {
  const error = asError(thrown)
  console.error(error instanceof DormouseError ? `${error.message} [${error.reason}]` : error)
  process.exitCode = 1
}
