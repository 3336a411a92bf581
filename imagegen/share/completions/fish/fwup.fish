complete -c fwup -l sparse-check -d 'Check whether files in PATH can have holes' -r
complete -c fwup -s f -d 'The configuration [fwupdate.conf]; - for stdin' -r -F
complete -c fwup -s i -d 'The archive to read; - for stdin [-]' -r -F
complete -c fwup -s o -d 'The archive to write; - for stdout' -r -F
complete -c fwup -s s -l private-key-file -d 'The key that signs the archive (with -c or -S)' -r -F
complete -c fwup -l private-key -d 'The same, as base64' -r
complete -c fwup -s p -l public-key-file -d 'Accept only archives signed by this key; up to 10' -r -F
complete -c fwup -l public-key -d 'The same, as base64' -r
complete -c fwup -s d -d 'The disk or image [the only memory card]' -r -F
complete -c fwup -s t -l task -d 'The task, or the start of its name' -r
complete -c fwup -l metadata-key -d 'Print only this value, without quotes' -r
complete -c fwup -l sparse-check-size -d 'The size of the hole to try, in bytes [4096]' -r
complete -c fwup -l progress-low -d 'The start of the progress, in percent [0]' -r
complete -c fwup -l progress-high -d 'The end of the progress, in percent [100]' -r
complete -c fwup -l max-size -d 'Use only the first N blocks of 512 bytes' -r
complete -c fwup -l reboot-param-path -d 'The file for the next boot\'s parameter [/run/systemd/reboot-param, /run/reboot-param]' -r -F
complete -c fwup -s a -l apply -d 'Apply an archive to a disk or an image'
complete -c fwup -s c -l create -d 'Make an archive from a configuration'
complete -c fwup -s g -l gen-keys -d 'Make a key pair, fwup-key.pub and fwup-key.priv, or with the start of the names given by -o'
complete -c fwup -l create-delta -d 'Make a delta archive from two archives, the old and the new one'
complete -c fwup -s S -l sign -d 'Write a signed copy of an archive'
complete -c fwup -s l -l list -d 'List the tasks of an archive'
complete -c fwup -s m -l metadata -d 'Print the metadata of an archive'
complete -c fwup -s V -l verify -d 'Check the data of an archive'
complete -c fwup -s D -l detect -d 'List memory cards and sticks: device, size in bytes'
complete -c fwup -s z -d 'Print the memory card that -a uses without -d'
complete -c fwup -l version -d 'Print the version of fwup that this is compatible with'
complete -c fwup -s h -l help -d 'Print this help'
complete -c fwup -s y -d 'Use the memory card without asking'
complete -c fwup -s q -l quiet -d 'No progress'
complete -c fwup -s n -d 'Progress as numbers'
complete -c fwup -s F -l framing -d 'Messages and input in frames'
complete -c fwup -l json -d 'Messages (-a) or metadata (-m) as JSON'
complete -c fwup -l exit-handshake -d 'At the end wait until stdin is closed'
complete -c fwup -s u -l unmount -d 'Unmount the disk and its partitions first [yes]'
complete -c fwup -s U -l no-unmount -d 'Write to the disk while it is in use'
complete -c fwup -l verify-writes -d 'Read back all data after writing it [disks]'
complete -c fwup -l no-verify-writes -d 'Do not read it back [files]'
complete -c fwup -l minimize-writes -d 'Write only blocks that change'
complete -c fwup -l no-minimize-writes -d 'Write all blocks [yes]'
complete -c fwup -l enable-trim -d 'Discard trimmed blocks on the disk'
complete -c fwup -s E -l no-eject -d 'No effect, as in fwup on Linux'
complete -c fwup -l eject -d 'No effect, as in fwup on Linux'
complete -c fwup -l unsafe -d 'Let tasks run programs and write to any file'
complete -c fwup -s v -l verbose -d 'Print more to stderr, such as why a task does not apply'
complete -c fwup -s 1 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 2 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 3 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 4 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 5 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 6 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 7 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 8 -d 'A compression level, from 1, fast, to 9, small'
complete -c fwup -s 9 -d 'A compression level, from 1, fast, to 9, small'
