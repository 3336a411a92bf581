%% SPDX-License-Identifier: MIT OR Apache-2.0
%%
%% Answers the host on TCP port 4000: one command per connection, a line each.
-module(fleet_agent).

-export([start/0]).

-define(PORT, 4000).
-define(SCRIPTS, "/usr/lib/guest/").
-define(GIVEN, "/sys/firmware/qemu_fw_cfg/by_name/opt/org.little-loader.guest/").
-define(CHOSEN, "/proc/device-tree/chosen/little-loader,").
%% The time for a connection to send its command, in milliseconds.
-define(COMMAND, 30000).

start() ->
    spawn(fun listen/0),
    ok.

listen() ->
    %% The running system keeps all of it: an update writes the other slot.
    Facts = {text(?CHOSEN "slot"), text(?CHOSEN "reason"), version(), seconds() - uptime()},
    persistent_term:put(?MODULE, Facts),
    register(fleet_identity, spawn(fun() -> identity(none) end)),
    Options = [binary, {packet, line}, {active, false}, {reuseaddr, true}, {nodelay, true}],
    {ok, Listener} = gen_tcp:listen(?PORT, Options),
    %% From here on Erlang answers, so the guest is up.
    spawn(fun() -> script(["up"], fun(_) -> ok end) end),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Server = spawn(fun() -> receive serve -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Server),
    Server ! serve,
    accept(Listener).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0, ?COMMAND) of
        {ok, Line} ->
            Send = fun(Data) -> gen_tcp:send(Socket, Data) end,
            answer(string:trim(Line, trailing, "\r\n"), Send);
        {error, _} ->
            ok
    end,
    gen_tcp:close(Socket).

answer(<<"ping">>, Send) ->
    Send(pong());
answer(<<"identify">>, Send) ->
    fleet_identity ! {identify, self()},
    receive
        {identity, Serial, Host} ->
            reseed(),
            rename(Host),
            Send(pong(Serial, Host));
        {identity, failed} ->
            Send("failed the helper could not take on the identity\n")
    end;
answer(<<"run ", Command/binary>>, Send) ->
    %% A command that reads its stdin finds the end of it.
    Script = <<"exec </dev/null\n", Command/binary>>,
    {Status, Last} = execute("/bin/sh", ["-c", Script], Send),
    %% The status is a line of its own.
    Send([[$\n || Last =/= $\n], "exit ", integer_to_list(Status), $\n]);
answer(<<"update ", Url/binary>>, Send) ->
    script(["update", Url], Send);
answer(Command, Send) when Command =:= <<"validate">>; Command =:= <<"revert">> ->
    script(["slot", Command], Send);
answer(Command, Send) when Command =:= <<"reboot">>; Command =:= <<"poweroff">> ->
    Send("ok\n"),
    execute("/sbin/" ++ binary_to_list(Command), [], fun(_) -> ok end);
answer(_, Send) ->
    Send("failed unknown command\n").

pong() ->
    {ok, Host} = inet:gethostname(),
    pong(text(?GIVEN "serial/raw"), Host).

pong(Serial, Host) ->
    {Slot, Reason, Version, Booted} = persistent_term:get(?MODULE),
    Uptime = float_to_binary(seconds() - Booted, [{decimals, 2}]),
    ["pong serial=", Serial, " host=", Host, " slot=", Slot, " reason=", Reason, " uptime=", Uptime,
     " version=", Version, $\n].

%% The time in seconds; its zero is Erlang's own.
seconds() ->
    erlang:monotonic_time(millisecond) / 1000.

%% The seconds since the guest booted.
uptime() ->
    {ok, Uptime} = file:read_file("/proc/uptime"),
    binary_to_float(hd(binary:split(Uptime, <<" ">>))).

%% Owns the helper, which is started by the first command and kept: in a clone, the start of a program costs more than
%% everything else until it answers.
identity(Helper) ->
    receive
        {identify, From} ->
            Asked = ask(Helper),
            receive
                {Asked, {data, {eol, Line}}} ->
                    [Serial, Host] = binary:split(Line, <<" ">>),
                    From ! {identity, Serial, Host},
                    identity(Asked);
                {Asked, {exit_status, _}} ->
                    From ! {identity, failed},
                    identity(none)
            end;
        {Helper, {exit_status, _}} ->
            identity(none)
    end.

ask(none) ->
    Options = [{args, ["identify", "each"]}, {line, 1024}, binary, exit_status],
    Helper = open_port({spawn_executable, ?SCRIPTS "helper"}, Options),
    true = port_command(Helper, "\n"),
    Helper;
ask(Helper) ->
    try port_command(Helper, "\n") of
        true -> Helper
    catch
        error:badarg -> ask(none)
    end.

version() ->
    hd(binary:split(text("/etc/fleet/version"), [<<" ">>, <<"\n">>])).

%% A string of the loader or of the host, which may end with a NUL.
text(Path) ->
    case file:read_file(Path) of
        {ok, Text} when Text =/= <<>> -> hd(binary:split(Text, <<0>>));
        _ -> <<"none">>
    end.

%% OpenSSL's generator keeps its state in this process. Others that use the module `rand` have seeds of their own, which
%% nobody else can change.
reseed() ->
    case erlang:module_loaded(crypto) of
        true -> crypto:rand_seed(text(?GIVEN "seed/raw"));
        false -> ok
    end.

%% A node that is part of a distributed system gets the name of its host.
rename(Host) ->
    case is_alive() of
        true ->
            [Name, _] = string:split(atom_to_list(node()), "@"),
            ok = net_kernel:stop(),
            {ok, _} = net_kernel:start([list_to_atom(Name ++ "@" ++ binary_to_list(Host)), shortnames]);
        false ->
            ok
    end.

script([Name | Arguments], Send) ->
    execute(?SCRIPTS ++ Name, Arguments, Send).

%% Runs a program; returns its exit status and the last byte of its output.
execute(Program, Arguments, Send) ->
    Options = [{args, Arguments}, binary, exit_status, stderr_to_stdout],
    output(open_port({spawn_executable, Program}, Options), Send, $\n).

output(Port, Send, Last) ->
    receive
        {Port, {data, Data}} ->
            Send(Data),
            output(Port, Send, binary:last(Data));
        {Port, {exit_status, Status}} ->
            {Status, Last}
    end.
