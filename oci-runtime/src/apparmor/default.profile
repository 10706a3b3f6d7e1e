# What a container may not do by its files' names, whoever it runs as. All else is left to the kernel's other means.
profile wherry-default flags=(attach_disconnected, mediate_deleted) {
  file,
  capability,
  network,
  umount,

  # The node ends containers; among themselves they may do as they like.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=wherry-default,
  ptrace (trace, read, tracedby, readby) peer=wherry-default,

  # Mounts are made before the program starts.
  deny mount,

  # Of the kernel's files, processes may write to their own and to those of shared memory (kernel.shm*).
  deny /proc/* w,
  deny /proc/{acpi,bus,driver,fs,irq,scsi,sysvipc,tty}/** w,
  deny /proc/sys/{[^k],k[^e]}** w,
  deny /proc/sys/kernel/{[^s],s[^h],sh[^m]}** w,
  deny /proc/{kcore,keys,kmem,latency_stats,mem,sched_debug,sysrq-trigger,timer_list,timer_stats} rwklx,

  # Of devices and drivers they change nothing; control groups are mounted as the container may have them.
  deny /sys/{[^f],f[^s]}** wklx,
  deny /sys/fs/{[^c],c[^g],cg[^r]}** wklx,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,
}
