# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_imagegen_global_optspecs
    string join \n h/help V/version
end

function __fish_imagegen_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_imagegen_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_imagegen_using_subcommand
    set -l cmd (__fish_imagegen_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c imagegen -n "__fish_imagegen_needs_command" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_needs_command" -s V -l version -d 'Print version'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "apply" -d 'Apply a task of a firmware archive to an image'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "disk" -d 'Create a disk image from a kernel and a root file system'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "env" -d 'Show, change and repair the variables of an image'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "fwup" -d 'Accept the command line of fwup, for scripts that use it'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "info" -d 'Show the metadata of a firmware archive'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "initrd" -d 'Create an initrd that loads the modules of a distribution\'s kernel'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "inspect" -d 'Show the contents of an image, and the errors in it'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "loader" -d 'Show a built loader, change its settings, create its flat binary'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "overlay" -d 'Create qcow2 images that store only what differs from a backing file'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "pack" -d 'Create a firmware archive from a configuration, as fwup does'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "slot" -d 'Change the slots of an image as firmware does: activate, validate, revert, install'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "tasks" -d 'Show the tasks of a firmware archive'
complete -c imagegen -n "__fish_imagegen_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand apply" -s d -l destination -d 'The image, raw or qcow2, or block device to write to; a missing image is created' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand apply" -s t -l task -d 'The task, or a prefix of its name: the first match whose requirements hold is applied' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand apply" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand apply" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l kernel -d 'The kernel: a raw arm64 Image, Image.gz, or an EFI zboot vmlinuz' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l initrd -d 'An initrd' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l rootfs -d 'The root file system: a squashfs, or a folder that becomes one' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -s o -l output -d 'The image to create; an existing one is replaced when the new one is complete' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l slot -d 'The slots to fill; slot a is active, or slot b if only b is filled' -r -f -a "a\t''
b\t''
both\t''"
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l args -d 'The kernel arguments, replacing root=/dev/vdaN and the default ones' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l set -d 'Set a variable of the environment, overriding its default value' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l kernel-size -d 'The space for each kernel with its initrd' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l rootfs-size -d 'The space for each root file system' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l data-size -d 'The size of the data partition' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l env-lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l env-size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -l env-redundant-lba -d 'The first block of a second copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand disk" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "list" -d 'Print all variables, as NAME=VALUE in the order of the block'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "get" -d 'Print the value of a variable; the exit status is 1 if it is not set'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "set" -d 'Set variables'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "unset" -d 'Remove variables; if one of them is not set, nothing is changed and the exit status is 1'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "repair" -d 'Make a damaged environment valid again if its variables are readable; shows the findings and asks before it writes'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and not __fish_seen_subcommand_from list get set unset repair help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from list" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from list" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from list" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from list" -l json -d 'Print a JSON object instead'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from get" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from get" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from get" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from set" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from set" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from set" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from unset" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from unset" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from unset" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from unset" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l copy -d 'The copy to reseal if both copies of a pair are damaged and differ' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l yes -d 'Repair without asking'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from repair" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "list" -d 'Print all variables, as NAME=VALUE in the order of the block'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "get" -d 'Print the value of a variable; the exit status is 1 if it is not set'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set variables'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "unset" -d 'Remove variables; if one of them is not set, nothing is changed and the exit status is 1'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "repair" -d 'Make a damaged environment valid again if its variables are readable; shows the findings and asks before it writes'
complete -c imagegen -n "__fish_imagegen_using_subcommand env; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand info" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand info" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -l modules -d 'The modules to load, with all that they depend on; those built into the kernel are left out' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -l tree -d 'The folder with lib/modules/RELEASE: an unpacked kernel package or a root file system' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -l release -d 'The release of the kernel, if the folder has modules of several' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -l busybox -d 'The static busybox for arm64 to put in; the default is the one of the root file system' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -s o -l output -d 'The initrd to write' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -l list -d 'List the modules in the order in which they load'
complete -c imagegen -n "__fish_imagegen_using_subcommand initrd" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand inspect" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand inspect" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand inspect" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand inspect" -l json -d 'Print JSON instead of tables'
complete -c imagegen -n "__fish_imagegen_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand loader" -l set -d 'Change a setting in the ELF: env-lba=BLOCK, env-size=SIZE, env-redundant-lba=BLOCK|none' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand loader" -l flat -d 'Write the flat binary, with the changed settings' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand loader" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand loader" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand overlay" -l backing-path -d 'Record this path of the backing file instead of the absolute one; a relative path starts in the folder of the overlay' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand overlay" -l disk-size -d 'The size of the disk, at least that of the backing file, which is the default' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand overlay" -l replace -d 'Replace existing files'
complete -c imagegen -n "__fish_imagegen_using_subcommand overlay" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand pack" -s f -l configuration -d 'The configuration; - for stdin' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand pack" -s o -l output -d 'The archive to write; - for stdout' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand pack" -s l -l level -d 'The compression level: 1 is fast, 9 is small' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand pack" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand pack" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -l lba -d 'The environment\'s first block of 512 bytes' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -l size -d 'The size of one copy of the environment' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -l redundant-lba -d 'The first block of the second copy, if any' -r
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "status" -d 'Show the active slot and the slots that the next boot will try'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "activate" -d 'Make a slot active and put it on trial, as an upgrade does at its end'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "validate" -d 'End the trial of the active slot, which stays active'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "revert" -d 'Make the other slot active, without a trial'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "install" -d 'Copy a slot of a new image into the inactive slot, and put it on trial; an interruption leaves the image bootable in its active slot'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and not __fish_seen_subcommand_from status activate validate revert install help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from status" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from activate" -l no-trial -d 'Validate the slot at once, without a trial'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from activate" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from validate" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from revert" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from install" -l from -d 'The new image, raw or qcow2, with its environment at the same place' -r -F
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from install" -l slot -d 'The slot to write, which must not be the active one; by default the other one' -r -f -a "a\t''
b\t''"
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from install" -l from-slot -d 'The slot of the new image to copy; by default its active one' -r -f -a "a\t''
b\t''"
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the active slot and the slots that the next boot will try'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "activate" -d 'Make a slot active and put it on trial, as an upgrade does at its end'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "validate" -d 'End the trial of the active slot, which stays active'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "revert" -d 'Make the other slot active, without a trial'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "install" -d 'Copy a slot of a new image into the inactive slot, and put it on trial; an interruption leaves the image bootable in its active slot'
complete -c imagegen -n "__fish_imagegen_using_subcommand slot; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand tasks" -l json -d 'Print JSON instead of text'
complete -c imagegen -n "__fish_imagegen_using_subcommand tasks" -s h -l help -d 'Print help'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "apply" -d 'Apply a task of a firmware archive to an image'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "disk" -d 'Create a disk image from a kernel and a root file system'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "env" -d 'Show, change and repair the variables of an image'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "fwup" -d 'Accept the command line of fwup, for scripts that use it'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "info" -d 'Show the metadata of a firmware archive'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "initrd" -d 'Create an initrd that loads the modules of a distribution\'s kernel'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "inspect" -d 'Show the contents of an image, and the errors in it'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "loader" -d 'Show a built loader, change its settings, create its flat binary'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "overlay" -d 'Create qcow2 images that store only what differs from a backing file'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "pack" -d 'Create a firmware archive from a configuration, as fwup does'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "slot" -d 'Change the slots of an image as firmware does: activate, validate, revert, install'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "tasks" -d 'Show the tasks of a firmware archive'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and not __fish_seen_subcommand_from apply disk env fwup info initrd inspect loader overlay pack slot tasks help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "list" -d 'Print all variables, as NAME=VALUE in the order of the block'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "get" -d 'Print the value of a variable; the exit status is 1 if it is not set'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "set" -d 'Set variables'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "unset" -d 'Remove variables; if one of them is not set, nothing is changed and the exit status is 1'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from env" -f -a "repair" -d 'Make a damaged environment valid again if its variables are readable; shows the findings and asks before it writes'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "status" -d 'Show the active slot and the slots that the next boot will try'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "activate" -d 'Make a slot active and put it on trial, as an upgrade does at its end'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "validate" -d 'End the trial of the active slot, which stays active'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "revert" -d 'Make the other slot active, without a trial'
complete -c imagegen -n "__fish_imagegen_using_subcommand help; and __fish_seen_subcommand_from slot" -f -a "install" -d 'Copy a slot of a new image into the inactive slot, and put it on trial; an interruption leaves the image bootable in its active slot'
